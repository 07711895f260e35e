"""Typed requests and answers of each call, with the protocol's field names and defaults."""
