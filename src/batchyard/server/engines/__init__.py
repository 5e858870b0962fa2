"""Which engines run here, started and watched, and the environments that exist by default."""
