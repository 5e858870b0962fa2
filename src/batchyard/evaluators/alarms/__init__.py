"""Alarms: the state that datapoints or other alarms give one, and the texts that say why."""
