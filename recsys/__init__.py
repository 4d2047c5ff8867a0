"""The shared core: runs the shop and knows no machine learning."""
