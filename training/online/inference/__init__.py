"""Inference for experiments that are looked at every day: intervals, alarms, adjustments, guardrails."""
