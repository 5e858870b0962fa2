"""SSM's Parameter Store."""
