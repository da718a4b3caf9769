"""Checkpoints that others publish: one module per layout, each to the model that it means."""
