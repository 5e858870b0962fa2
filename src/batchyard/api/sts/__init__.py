"""STS's GetCallerIdentity."""
