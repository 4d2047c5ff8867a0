"""Browsers, and what every page must fulfil."""
