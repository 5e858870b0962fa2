"""EventBridge: event buses, rules and their targets, and what events make of them (observability spec 3 to 6)."""
