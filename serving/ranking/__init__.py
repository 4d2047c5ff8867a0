"""How the list of each placement is ranked, and which products are eligible for it."""
