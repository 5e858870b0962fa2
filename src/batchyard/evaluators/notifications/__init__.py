"""Topics: which messages a subscription wants, and the attributes that messages have."""
