"""Records every tool call of a run, reads the record, and replays it."""
