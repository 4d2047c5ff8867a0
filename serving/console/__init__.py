"""The console: the pages on which the staff of a shop see what is served, and change it."""
