"""Exploration: lists that are drawn at random, so that other models can be evaluated on them."""
