"""MLflow: runs, and a mirror of the model registry."""
