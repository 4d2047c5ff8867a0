"""Studies beside the training: learning curves and weights of interaction types."""
