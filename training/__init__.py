"""Pseudo-captions to checkpoints."""
