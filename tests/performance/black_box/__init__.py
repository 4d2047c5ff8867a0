"""Lists as a shop gets them at the default, beside lists that a team makes in an afternoon."""
