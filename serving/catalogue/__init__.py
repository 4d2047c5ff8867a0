"""The catalogue in memory and its refreshes."""
