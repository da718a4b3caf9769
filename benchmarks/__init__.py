"""Measurements, each a script: run from the root of a clone as `python -m benchmarks.NAME`."""
