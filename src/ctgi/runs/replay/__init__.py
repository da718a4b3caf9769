"""Replays a recorded run: the same graph, answered by its trace."""
