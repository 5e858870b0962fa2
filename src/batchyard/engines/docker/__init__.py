"""The Docker engine: `engine.DockerEngine` implements the seam, `sockets` finds the daemon."""
