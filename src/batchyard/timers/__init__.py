"""Durable timers: a report that a machine gets when it is due, also after a restart."""
