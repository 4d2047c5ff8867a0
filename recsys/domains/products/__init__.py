"""The catalogue: categories, brands, products, variants, reviews, views and stock."""
