"""The supervisor: a small process that starts tasks, outlives the server, and never loses an outcome.

One per data directory. Read in this order: `protocol` (its messages), `journal` (its records on disk), `supervisor`
(its one loop), then `launcher` and `reaper`.
"""
