"""Models of user and item vectors, and spectral filters of the item graph."""
