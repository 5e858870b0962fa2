"""The choice, start and supervision of engines, and the environments that exist by default."""
