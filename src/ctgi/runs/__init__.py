"""Runs: each captions, searches, evaluates ... once, with trace and cache."""
