"""Managed instances: launched, drained, ended, scaled down (AWS Batch behaviour 3.6)."""
