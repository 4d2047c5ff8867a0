"""Files as the programs of shops export them."""
