"""From a launch of the machine to what an engine starts: environment variables, secret values, encryption."""
