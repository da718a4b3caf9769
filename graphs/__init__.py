"""The MTG and MTI state machines."""
