"""Events: patterns that select them, and what a target gets of one."""
