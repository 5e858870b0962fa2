"""AWS Batch's operations."""
