"""The life of a job: submission, attempts, completion, cancellation, time limits (AWS Batch behaviour 7)."""
