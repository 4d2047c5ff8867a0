"""The registry of places: every table, Redis key and folder, and what of a person lies there."""
