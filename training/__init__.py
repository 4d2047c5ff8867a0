"""From a dataset to a registered model: fit, measure, report, register, promote."""
