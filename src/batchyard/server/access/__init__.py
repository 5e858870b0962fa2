"""Access control: keys, peers, sessions of jobs, metadata tokens."""
