"""Durable timers: a report that a machine gets when its time has come, also after a restart."""
