"""Off-policy evaluation: what another model would have earned, from lists that were drawn at random."""
