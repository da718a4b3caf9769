"""The tools and the gallery over the Model Context Protocol: images go by id, and paths stay here."""
