"""Lists that are the same for everybody."""
