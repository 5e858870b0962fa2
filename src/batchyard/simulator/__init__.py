"""Finds bugs in the real machine and the real loop: simulates a world from a seed, under virtual time, with crashes.

The simulator has no state transitions of its own. It simulates clients, engines, a disk and a clock;
`batchyard.core` alone decides about a job, and `oracle` checks it, which reads only durable bytes and what really
ran.
"""
