"""Models of item-to-item co-occurrence: neighbours, random walks, transitions, baskets."""
