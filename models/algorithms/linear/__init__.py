"""Item-to-item weights by ridge regression in closed form."""
