"""How things that ctgi ships were made; run from the root of a clone, not installed."""
