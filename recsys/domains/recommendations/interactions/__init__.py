"""Interactions: taken in, mirrored in Redis, and moved from guests to users."""
