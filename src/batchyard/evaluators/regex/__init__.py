"""Regular expressions of callers: searched in bounded time, whatever the expression and the text."""
