"""The machine of CloudWatch's alarms: their states, their history, and what follows from a change."""
