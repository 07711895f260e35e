"""Message in, service call, message out."""
