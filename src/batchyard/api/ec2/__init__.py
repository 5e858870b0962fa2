"""EC2's Describe operations, for clients that look at the instances behind jobs."""
