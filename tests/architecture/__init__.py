"""The house itself: import arrows, house rules and the shape of the tree."""
