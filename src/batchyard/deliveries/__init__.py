"""Durable deliveries of messages to targets outside: tried again, in order within a key, given up as a policy says."""
