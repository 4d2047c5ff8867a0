"""Accepted posts: a verdict for each, and a queue in Redis or in files while PostgreSQL takes no writes."""
