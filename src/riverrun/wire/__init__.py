"""The MLflow protocol as data: messages, JSON rules, errors. No I/O and no rules of the product."""
