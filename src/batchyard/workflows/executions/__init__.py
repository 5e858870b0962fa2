"""The interpreter: what each state does to an execution."""
