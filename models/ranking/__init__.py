"""From scores to lists: filters, the k best, calibrated scores and explanations."""
