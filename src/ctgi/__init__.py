"""ctgi: find people in image collections by description, with no human annotation."""

__version__ = "0.1.0"
