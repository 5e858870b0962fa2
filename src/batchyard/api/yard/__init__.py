"""Batchyard's own operations: RunJob, ExplainJob, overviews, usage."""
