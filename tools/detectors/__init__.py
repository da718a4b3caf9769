"""What finds people in a picture without a dialogue: the backends of detect_people that are no chat models."""
