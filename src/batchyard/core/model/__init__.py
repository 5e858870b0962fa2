"""Records, commands, reports, effects and the small values they are made of. Imports nothing else of the core."""
