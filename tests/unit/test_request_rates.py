"""Requests a second, for each who asks."""

import pytest
from tests.fixtures.clock import Clock

from riverrun.errors import TooManyRequests
from riverrun.services.access import request_rates
from riverrun.services.access.request_rates import BUCKETS_MAX, RequestRates


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.of(request_rates, monkeypatch)


def passed(rates: RequestRates, times: int, who: object = "ada") -> int:
    """How many of so many requests are let through."""
    count = 0
    for _ in range(times):
        try:
            rates.check(who)
        except TooManyRequests:
            continue
        count += 1
    return count


def test_without_a_limit_all_pass(clock: Clock):
    del clock
    assert passed(RequestRates(0), 10_000) == 10_000


def test_who_is_refused_is_told_when_to_come_again(clock: Clock):
    del clock
    rates = RequestRates(1)
    rates.check("ada")
    with pytest.raises(TooManyRequests, match="More than 1 requests a second") as refused:
        rates.check("ada")
    assert refused.value.retry_after_s == 1


def test_a_seconds_worth_may_come_at_once_and_no_more(clock: Clock):
    rates = RequestRates(5)
    assert passed(rates, 20) == 5
    clock.now += 0.5
    assert passed(rates, 20) == 2
    clock.now += 100
    assert passed(rates, 20) == 5


def test_one_a_second_is_possible(clock: Clock):
    rates = RequestRates(1)
    assert passed(rates, 3) == 1
    clock.now += 1
    assert passed(rates, 3) == 1


def test_everybody_has_a_rate_of_their_own(clock: Clock):
    del clock
    rates = RequestRates(2)
    assert passed(rates, 5, "ada") == 2
    assert passed(rates, 5, "bob") == 2


def test_who_is_refused_does_not_wait_longer_for_asking_again(clock: Clock):
    rates = RequestRates(10)
    passed(rates, 10)
    for _ in range(10):
        clock.now += 0.05
        passed(rates, 1)
    clock.now += 0.1
    assert passed(rates, 10) >= 1


def test_what_is_remembered_is_bounded(clock: Clock):
    rates = RequestRates(2)
    passed(rates, 2, "busy")
    for number in range(BUCKETS_MAX - 1):
        passed(rates, 1, number)
    clock.now += 0.9
    passed(rates, 5, "busy")
    clock.now += 0.2
    for number in range(BUCKETS_MAX, BUCKETS_MAX + 100):
        passed(rates, 1, number)
    assert len(vars(rates)["_buckets"]) <= BUCKETS_MAX
    assert passed(rates, 5, "busy") == 1  # Who was here just now is not forgotten.
