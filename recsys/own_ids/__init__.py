"""The shop's own ids (SKU, username, slug, name) in the place of the numbers of rows."""
