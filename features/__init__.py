"""From stored behaviour to what models learn from."""
