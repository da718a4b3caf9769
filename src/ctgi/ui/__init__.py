"""A page to search on: a small web server for one gallery, for this machine unless a token guards it."""
