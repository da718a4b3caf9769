"""A recorded run again: the same graph, answered by its trace."""
