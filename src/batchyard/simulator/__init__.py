"""Hunts bugs in the real machine and the real loop: a fake world on a seed, under virtual time, with crashes.

The simulator owns no transition. It plays clients, engines, a disk and a clock; what becomes of a job is decided by
`batchyard.core` alone, and judged by `witness`, which believes only durable bytes and what really ran.
"""
