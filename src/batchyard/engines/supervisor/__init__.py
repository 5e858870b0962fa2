"""The supervisor: a small process that starts tasks, outlives the server, and never loses an outcome.

One per data directory. Read in this order: `protocol` (what it is told and tells), `journal` (what it never forgets),
`rounds` (its one loop), then `launching` and `ending`.
"""
