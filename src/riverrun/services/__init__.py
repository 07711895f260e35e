"""Rules and transactions: what a call means, whoever transports it."""
