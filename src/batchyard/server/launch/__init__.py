"""Turns a launch of the machine into what an engine starts: environment variables, secret values, encryption."""
