"""Docker as an engine. `engine.DockerEngine` is the seam; `sockets` says whether there is a daemon."""
