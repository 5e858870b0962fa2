"""Metrics: statistics of samples, and expressions over series."""
