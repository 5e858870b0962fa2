"""The store of metrics: series of samples in an SQLite file of its own, with roll-ups and a retention."""
