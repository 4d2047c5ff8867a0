"""Recommendation algorithms behind one interface, and the registry of fitted ones."""
