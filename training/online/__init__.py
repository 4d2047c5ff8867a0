"""What happened after recommendations were displayed: impressions, metrics and A/B tests."""
