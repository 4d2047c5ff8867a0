"""Following and blocking."""
