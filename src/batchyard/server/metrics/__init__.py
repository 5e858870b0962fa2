"""The service's own metrics, and the upkeep of all."""
