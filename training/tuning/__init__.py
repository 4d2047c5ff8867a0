"""Search for parameters on validation periods only; the test period is touched once, at the end."""
