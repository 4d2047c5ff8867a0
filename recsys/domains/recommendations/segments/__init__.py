"""Stored segments: groups of users that business rules can be for."""
