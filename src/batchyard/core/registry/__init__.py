"""Compute environments, job queues, job definitions and tags: created, updated, deleted (AWS Batch behaviour 2-6)."""
