"""What people did and want, and the records of models and recommendations."""
