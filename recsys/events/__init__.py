"""Facts of the past: written with what they tell of, moved to Redis, and handled once by each group."""
