"""The embedded models: how they are made from synthetic pedestrians alone."""
