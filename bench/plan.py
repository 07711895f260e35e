"""What one run of the bench measures, and on which database."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from databases import Database
from scenarios import Scenario
from servers import Kind


@dataclass(frozen=True, slots=True)
class Plan:
    database: Database
    kinds: list[Kind]
    scenarios: list[Scenario]
    extras: "Mapping[str, Extra]"
    rounds: int
    duration_s: float
    soak_minutes: float
    is_quick: bool
    everything: bool


Figures = dict[str, dict[str, float]]
"""By server, by scenario, or by size: figure by name."""
Extra = Callable[[Plan, Path], Awaitable[Figures]]
"""Measures what is no scenario; has the folder to itself."""
