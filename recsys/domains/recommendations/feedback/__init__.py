"""Feedback on recommendations, and the list that it is about."""
