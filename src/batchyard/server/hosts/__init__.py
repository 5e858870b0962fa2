"""Hosts that join this server: tokens, who is admitted, the port they dial, and the command that a host runs."""
