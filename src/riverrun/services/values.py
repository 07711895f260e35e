"""The rules for params' and tags' values."""

from collections.abc import Iterable
from dataclasses import dataclass

from riverrun.errors import InvalidParameterValue
from riverrun.services import limits, names

Pairs = Iterable[tuple[str | None, str | None]]
"""Keys and values as a client gave them; a missing value is the empty text."""


@dataclass(frozen=True, slots=True)
class ValueRules:
    """Whether a value that is too long is cut (upstream's default) or refused."""

    truncate: bool

    def tags(self, pairs: Pairs) -> dict[str, str]:
        """The last value of each key; an empty mlflow.runName is left out: it names no run."""
        tags = {
            names.check_key(key, what="Tag", name="key"): self._tag(key, value)
            for key, value in pairs
        }
        if not tags.get(names.RUN_NAME_TAG, "named"):
            del tags[names.RUN_NAME_TAG]
        return tags

    def tags_of_new_run(self, pairs: Pairs) -> dict[str, str]:
        """The last value of each key, which may hold any characters as it does upstream."""
        return {names.check_new_tag_key(key): self._tag(key, value) for key, value in pairs}

    def _tag(self, key: str | None, value: str | None) -> str:
        return self._fit(value or "", limits.TAG_VALUE_LENGTH_MAX, f"Value of tag '{key}'")

    def params(self, pairs: Pairs) -> dict[str, str]:
        """Each key once, even if its values are equal."""
        params: dict[str, str] = {}
        duplicates: list[str] = []
        for key, value in pairs:
            checked = names.check_key(key, what="Param", name="key")
            if checked in params:
                duplicates.append(checked)
            params[checked] = self._fit(
                value or "", limits.PARAM_VALUE_LENGTH_MAX, f"Value of param '{checked}'"
            )
        if duplicates:
            raise InvalidParameterValue(
                f"Duplicate parameter keys have been submitted: {duplicates}. Please ensure the "
                "request contains only one param value per param key."
            )
        return params

    def _fit(self, value: str, length_max: int, what: str) -> str:
        return value[:length_max] if self.truncate else names.check_length(value, length_max, what)
