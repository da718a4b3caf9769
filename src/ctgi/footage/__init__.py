"""People out of photographs and videos: crops, tracks, and where each crop is from."""
