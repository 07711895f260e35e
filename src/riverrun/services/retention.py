"""How long deleted runs, logged models and experiments are kept before they are gone for good."""

import re
from dataclasses import dataclass

from riverrun.errors import InvalidParameterValue

RETENTION_TAG = "riverrun.retention"
"""The tag by which an experiment decides for itself and what is in it."""
FOREVER = "forever"
FOREVER_MS = 2**62
"""Longer than anything has been deleted, as milliseconds in 64 bits."""
EXPECTED = "expected an age such as 90d, 36h or 1d12h30m, or forever"

_NUMBER = r"([0-9]{1,6}(?:\.[0-9]{1,6})?)"
_AGE = re.compile(f"(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")
_UNITS_MS = (86_400_000, 3_600_000, 60_000, 1_000)


def read_age(given: str) -> int:
    """Milliseconds of `1d2h3m4s`, as `mlflow gc` has it, any part left out; `forever` is an age,
    too. Raises ValueError, whose text says what was expected.
    """
    if given == FOREVER:
        return FOREVER_MS
    match = _AGE.fullmatch(given)
    if match is None or not given:
        raise ValueError(EXPECTED)
    parts = zip(match.groups(), _UNITS_MS, strict=True)
    return round(sum(float(part) * unit for part, unit in parts if part))


def check_retention_tag(key: str, value: str) -> None:
    """Raises InvalidParameterValue for a value of the retention tag that cannot be."""
    if key != RETENTION_TAG:
        return
    try:
        read_age(value)
    except ValueError as error:
        raise InvalidParameterValue(
            f"Invalid value '{value[:100]}' of tag '{RETENTION_TAG}': {error}."
        ) from None


@dataclass(frozen=True, slots=True)
class Retention:
    """What holds where no tag says otherwise. A tag beats it in both directions."""

    default_ms: int = 0

    def of(self, tag: str | None) -> int:
        """A tag that cannot be read keeps everything: its author wanted to keep something."""
        if tag is None:
            return self.default_ms
        try:
            return read_age(tag)
        except ValueError:
            return FOREVER_MS
