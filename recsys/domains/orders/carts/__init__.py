"""Carts in Redis: their content, their prices today, and those left behind."""
