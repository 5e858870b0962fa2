"""Which job starts next and where: candidates, queue heads, fair share, fleets, and why a job cannot start
(AWS Batch behaviour 4, 5)."""
