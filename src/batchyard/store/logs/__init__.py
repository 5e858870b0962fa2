"""The log events that callers and targets write, with their groups and streams: a SQLite file of its own, `logs.db`.

The output of jobs is not in it: that is in the log files of the engines."""
