"""Galleries and captions of ten million images, measured."""
