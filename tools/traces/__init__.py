"""Recording every tool call of a run, reading the record, and playing it back."""
