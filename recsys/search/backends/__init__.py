"""The indices that can answer a search, behind one protocol."""
