"""Who may call: keys, peers, sessions of jobs, metadata tokens."""
