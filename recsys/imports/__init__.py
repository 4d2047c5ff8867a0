"""Bulk import of real data sets and files into the domain tables."""
