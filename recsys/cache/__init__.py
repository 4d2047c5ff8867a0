"""Redis: the client and every key name."""
