"""Scripts that run inside the nodes of multi-node jobs."""
