"""The version of ctgi."""

__version__ = "0.2.0"
