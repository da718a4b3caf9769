"""Synthetic pedestrians with known attributes: who they are, how they look, what a witness would say."""
