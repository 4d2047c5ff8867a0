"""Whole journeys through the shop over HTTP."""
