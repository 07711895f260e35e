from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes what, and when."""

    by: str
    at_ms: int
