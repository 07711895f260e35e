"""Ages as operators and experiments give them."""

import pytest

from riverrun.errors import InvalidParameterValue
from riverrun.services.retention import (
    EXPECTED,
    FOREVER_MS,
    Retention,
    check_retention_tag,
    read_age,
)

SECOND_MS, DAY_MS = 1_000, 86_400_000


@pytest.mark.parametrize(
    ("given", "ms"),
    [
        ("90d", 90 * DAY_MS),
        ("1d2h3m4s", DAY_MS + (2 * 3600 + 3 * 60 + 4) * SECOND_MS),
        ("1.2d3h4m5s", round(1.2 * DAY_MS) + (3 * 3600 + 4 * 60 + 5) * SECOND_MS),
        ("36h", 36 * 3600 * SECOND_MS),
        ("0.5s", 500),
        ("0s", 0),
        ("999999d", 999_999 * DAY_MS),
        ("forever", FOREVER_MS),
    ],
)
def test_an_age_is_read_as_mlflow_has_it(given: str, ms: int):
    assert read_age(given) == ms
    check_retention_tag("riverrun.retention", given)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "d",
        "90",
        "90 d",
        "-1d",
        "1h1d",
        "1d1d",
        "1e3d",
        "1.d",
        ".5d",
        "9" * 7 + "d",
        "ever",
        "١d",
    ],
)
def test_what_is_no_age_is_refused(given: str):
    with pytest.raises(ValueError, match=EXPECTED.split(",", maxsplit=1)[0]):
        read_age(given)
    with pytest.raises(InvalidParameterValue, match=r"Invalid value .* of tag"):
        check_retention_tag("riverrun.retention", given)
    check_retention_tag("team", given)


def test_a_tag_beats_the_default_and_one_that_cannot_be_read_keeps_everything():
    retention = Retention(90 * DAY_MS)
    assert retention.of(None) == 90 * DAY_MS
    assert retention.of("30d") == 30 * DAY_MS
    assert retention.of("forever") == FOREVER_MS
    assert retention.of("a month") == FOREVER_MS
