"""In what order: the MTG and MTI state machines, and the runner that drives many of them."""
