"""The risk of a payment, and its review."""
