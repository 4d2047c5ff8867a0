"""How the cost of each step grows with the shop: `python -m tests.performance.scale`."""
