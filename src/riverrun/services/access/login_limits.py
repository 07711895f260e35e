"""How often somebody may be wrong: a pause that grows, for an account from one address.

From elsewhere the account can be used meanwhile, so that nobody locks others out. The address of a
request that came through an unknown proxy says nothing, and anybody can claim to be one: then an
account's failures are only slowed down to some a second.
"""

from collections import Counter, OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from time import monotonic
from typing import TypeVar

from riverrun.errors import TooManyRequests

FREE_FAILURES = 5
PAUSE_S_MAX = 300
FORGET_S = 900
PLACES_MAX = 10_000
WAITING_PER_ADDRESS_MAX = 2
WAITING_MAX = 32
UNPLACED_FREE = 20
UNPLACED_PER_S = 2.0
"""Failures of an account from unknown proxies: some at once, then so many a second."""
IPV6_NETWORK_BITS = 64
"""What one customer has of IPv6: addresses in it cost nothing."""

Place = tuple[str, str]
"""An account and an address."""

K = TypeVar("K")
V = TypeVar("V")


class LoginLimits:
    """An address is that of a client, or None where nobody knows it."""

    def __init__(self) -> None:
        self._failures: OrderedDict[Place, tuple[int, float, bytes]] = OrderedDict()
        self._unplaced: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._waiting: Counter[str] = Counter()

    def check(self, account: str, address: str | None) -> None:
        """Raises TooManyRequests while the pause after the last failure lasts."""
        if address is None:
            left_s = (1 - self._unplaced_left(account)) / UNPLACED_PER_S
        else:
            left_s = self._pause_left_s((account, network_of(address)))
        if left_s > 0:
            raise TooManyRequests(
                f"Too many failed logins of this account from this address: try again in "
                f"{int(left_s) + 1} seconds.",
                retry_after_s=int(left_s) + 1,
            )

    def failed(self, account: str, address: str | None, guess: bytes) -> None:
        """`guess` tells passwords apart: one that is wrong again, as from a job that nobody told
        of the new one, is no further guess.
        """
        now = monotonic()
        if address is None:
            left = self._unplaced_left(account)
            self._unplaced.pop(account, None)
            self._unplaced[account] = (max(left - 1, 0), now)
            _bound(self._unplaced)
            return
        place = (account, network_of(address))
        count, failed_at, last = self._failures.pop(place, (0, now, b""))
        if now - failed_at > FORGET_S:
            count, last = 0, b""
        self._failures[place] = (count + (guess != last), now, guess)
        _bound(self._failures)

    def succeeded(self, account: str, address: str | None) -> None:
        if address is not None:
            self._failures.pop((account, network_of(address)), None)

    @contextmanager
    def queued(self, account: str, address: str | None) -> Generator[None]:
        """A place in the queue before the password check, which does one at a time. Raises
        TooManyRequests when it is too long, or others from the same address wait already.
        """
        whose = f"account {account}" if address is None else network_of(address)
        of_address = self._waiting[whose] >= WAITING_PER_ADDRESS_MAX + 1  # And the one at work.
        if of_address or self._waiting.total() >= WAITING_MAX:
            raise TooManyRequests(
                "Too many logins at once: try again in a second.", retry_after_s=1
            )
        self._waiting[whose] += 1
        try:
            yield
        finally:
            self._waiting[whose] -= 1
            if not self._waiting[whose]:
                del self._waiting[whose]

    def _pause_left_s(self, place: Place) -> float:
        count, failed_at, _ = self._failures.get(place, (0, 0.0, b""))
        if count < FREE_FAILURES:
            return 0
        return failed_at + min(2 ** (count - FREE_FAILURES), PAUSE_S_MAX) - monotonic()

    def _unplaced_left(self, account: str) -> float:
        """Failures that are free now."""
        left, at = self._unplaced.get(account, (float(UNPLACED_FREE), 0.0))
        return min(left + (monotonic() - at) * UNPLACED_PER_S, UNPLACED_FREE)


def network_of(address: str) -> str:
    """Who counts as one: an IPv4 address, a customer's network of IPv6."""
    if ":" not in address:
        return address
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> IPV6_NETWORK_BITS << IPV6_NETWORK_BITS))


def _bound(places: OrderedDict[K, V]) -> None:
    if len(places) > PLACES_MAX:
        places.popitem(last=False)
