"""SQLite behind the store's seam: one file, in the data directory."""
