"""Fitted models: their rows, artifacts, reports and MLflow flavor."""
