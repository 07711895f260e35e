"""Requests of this server to hosts that a user named: which it may reach, and how."""
