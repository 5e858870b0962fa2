"""Sends the messages that the machine of deliveries says are due."""
