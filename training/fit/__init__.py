"""One experiment fitted and evaluated, and what that takes."""
