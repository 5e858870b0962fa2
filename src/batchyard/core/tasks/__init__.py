"""What a definition and its overrides make an engine run, and when a run is retried (AWS Batch behaviour 6, 7.7)."""
