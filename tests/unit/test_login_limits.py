"""Failed logins: pauses that grow, for an account from one address, and never for an account."""

import itertools

import pytest
from tests.fixtures.clock import Clock

from riverrun.errors import TooManyRequests
from riverrun.services.access import login_limits
from riverrun.services.access.login_limits import (
    FORGET_S,
    FREE_FAILURES,
    PAUSE_S_MAX,
    PLACES_MAX,
    UNPLACED_FREE,
    WAITING_MAX,
    WAITING_PER_ADDRESS_MAX,
    LoginLimits,
    network_of,
)

GUESSES = (number.to_bytes(4, "big") for number in itertools.count(1))
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.of(login_limits, monkeypatch)


@pytest.fixture
def limits(clock: Clock) -> LoginLimits:
    del clock
    return LoginLimits()


def fail(limits: LoginLimits, times: int, account: str = "ada", address: str | None = HERE) -> None:
    for _ in range(times):
        limits.failed(account, address, next(GUESSES))


def pause_s(limits: LoginLimits, account: str = "ada", address: str | None = HERE) -> int:
    try:
        limits.check(account, address)
    except TooManyRequests as error:
        return error.retry_after_s
    return 0


def test_the_first_failures_are_free(limits: LoginLimits):
    fail(limits, FREE_FAILURES - 1)
    assert pause_s(limits) == 0


def test_each_further_failure_doubles_the_pause_up_to_a_bound(limits: LoginLimits):
    fail(limits, FREE_FAILURES - 1)
    pauses: list[int] = []
    for _ in range(12):
        fail(limits, 1)
        pauses.append(pause_s(limits) - 1)
    assert pauses[:9] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert set(pauses[9:]) == {PAUSE_S_MAX}


def test_after_the_pause_one_may_try_again(limits: LoginLimits, clock: Clock):
    fail(limits, FREE_FAILURES + 2)
    clock.now += 3.9
    assert pause_s(limits) == 1
    clock.now += 0.2
    assert pause_s(limits) == 0


def test_failures_are_forgotten(limits: LoginLimits, clock: Clock):
    fail(limits, FREE_FAILURES + 5)
    clock.now += FORGET_S + 1
    fail(limits, 1)
    assert pause_s(limits) == 0


def test_another_address_and_another_account_are_let_in(limits: LoginLimits):
    fail(limits, 20)
    assert pause_s(limits) > 0
    assert pause_s(limits, address=ELSEWHERE) == 0
    assert pause_s(limits, "bob") == 0


def test_the_right_password_ends_the_pauses_of_its_place_only(limits: LoginLimits):
    fail(limits, 20)
    fail(limits, 20, address=ELSEWHERE)
    limits.succeeded("ada", HERE)
    assert pause_s(limits) == 0
    assert pause_s(limits, address=ELSEWHERE) > 0


def test_the_same_wrong_password_again_is_no_further_guess(limits: LoginLimits):
    for _ in range(100):
        limits.failed("ada", HERE, b"old password")
    assert pause_s(limits) == 0
    for number in range(FREE_FAILURES):
        limits.failed("ada", HERE, b"guess %d" % number)
    assert pause_s(limits) > 0


def test_a_network_of_ipv6_is_one_address(limits: LoginLimits):
    for number in range(FREE_FAILURES + 1):
        fail(limits, 1, address=f"2001:db8:1:2::{number:x}")
    assert pause_s(limits, address="2001:db8:1:2:ffff::1") > 0
    assert pause_s(limits, address="2001:db8:1:3::1") == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        (HERE, HERE),
        ("::ffff:192.0.2.1", HERE),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("no:address", "no:address"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(address: str, network: str):
    assert network_of(address) == network


def test_through_unknown_proxies_failures_are_slowed_down_and_nobody_is_locked_out(
    limits: LoginLimits, clock: Clock
):
    fail(limits, UNPLACED_FREE, address=None)
    assert pause_s(limits, address=None) == 1
    clock.now += 0.6
    assert pause_s(limits, address=None) == 0
    fail(limits, 1, address=None)
    assert pause_s(limits, address=None) == 1
    assert pause_s(limits, "bob", address=None) == 0
    assert pause_s(limits) == 0  # From an address that is known.


def test_a_day_of_failures_through_a_proxy_costs_no_more_than_a_minute(
    limits: LoginLimits, clock: Clock
):
    fail(limits, 100_000, address=None)
    clock.now += 1
    assert pause_s(limits, address=None) == 0


def test_two_wait_at_most_from_one_address_beside_the_one_at_work(limits: LoginLimits):
    waiting = [limits.queued("ada", HERE) for _ in range(WAITING_PER_ADDRESS_MAX + 1)]
    for each in waiting:
        each.__enter__()
    with pytest.raises(TooManyRequests) as refused, limits.queued("bob", HERE):
        pass
    assert refused.value.retry_after_s == 1
    with limits.queued("ada", ELSEWHERE):
        pass
    waiting[0].__exit__(None, None, None)
    with limits.queued("bob", HERE):
        pass


def test_the_queue_as_a_whole_is_bounded(limits: LoginLimits):
    waiting = [limits.queued("ada", f"192.0.2.{number}") for number in range(WAITING_MAX)]
    for each in waiting:
        each.__enter__()
    with pytest.raises(TooManyRequests), limits.queued("ada", "198.51.100.1"):
        pass
    for each in waiting:
        each.__exit__(None, None, None)
    with limits.queued("ada", "198.51.100.1"):
        pass


def test_an_error_in_a_check_gives_its_place_back(limits: LoginLimits):
    for _ in range(10):
        with pytest.raises(ValueError, match="broken"), limits.queued("ada", HERE):
            raise ValueError("broken")
    with limits.queued("ada", HERE):
        pass


def test_what_is_remembered_is_bounded(limits: LoginLimits):
    for number in range(PLACES_MAX + 100):
        fail(limits, 1, f"user {number}")
        fail(limits, 1, f"user {number}", None)
    kept = [len(each) for each in vars(limits).values()]
    assert max(kept) == PLACES_MAX
    fail(limits, FREE_FAILURES + 1)
    assert pause_s(limits) > 0
