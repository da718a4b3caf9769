"""Embeddings to ranks: images, encoders, galleries, fusion, metrics."""
