"""Finds bugs in the real machine and the real loop: a fake world from a seed, under virtual time, with crashes.

The simulator owns no transition. It plays clients, engines, a disk and a clock; what becomes of a job is decided by
`batchyard.core` alone, and checked by `oracle`, which reads only durable bytes and what really ran.
"""
