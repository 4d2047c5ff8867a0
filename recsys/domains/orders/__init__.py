"""Orders, their items, addresses, tracking, and abandoned carts."""
