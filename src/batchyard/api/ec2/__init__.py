"""EC2's Describe operations, for clients that inspect the instances behind jobs."""
