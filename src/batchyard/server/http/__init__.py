"""The HTTP server, the application on it, and its bounds."""
