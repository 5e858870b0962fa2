"""The machine's memory: the world of records, and the structures that keep questions about it cheap."""
