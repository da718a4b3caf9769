"""What runs look like: pages, pictures and tables."""
