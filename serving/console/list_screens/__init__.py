"""The screens about people, products and lists, one module each."""
