"""Search: one contract for every index, and what the shop makes of it."""
