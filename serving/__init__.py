"""From a registered model to what the shop shows."""
