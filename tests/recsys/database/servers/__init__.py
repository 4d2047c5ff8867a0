"""Several database servers."""
