"""Secrets Manager's secrets, SSM's parameters, and references to both (AWS Batch behaviour 6.8)."""
