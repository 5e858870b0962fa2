"""CloudWatch Logs' operations, for readers of job output."""
