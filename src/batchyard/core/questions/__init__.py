"""Answers from memory that change nothing: why a job waits, what runs where, a queue's next jobs."""
