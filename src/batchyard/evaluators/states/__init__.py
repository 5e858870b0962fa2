"""State machines: what a definition has callers write, compiled once and evaluated against one state's data."""
