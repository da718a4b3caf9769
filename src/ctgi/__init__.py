"""ctgi: find people in image collections by description, with no human annotation."""

__version__ = "0.2.0"
