"""How often somebody may be wrong: a pause that grows, for an account from one address.

From elsewhere the account can be used meanwhile, so that nobody locks others out. The address of a
request that came through an unknown proxy says nothing; then only the queue before the password
check limits who guesses.
"""

from collections import Counter, OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic

from riverrun.errors import TooManyRequests

FREE_FAILURES = 5
PAUSE_S_MAX = 300
FORGET_S = 900
PLACES_MAX = 10_000
WAITING_PER_ADDRESS_MAX = 2
WAITING_MAX = 32

Place = tuple[str, str]
"""An account and an address."""


class LoginLimits:
    def __init__(self) -> None:
        self._failures: OrderedDict[Place, tuple[int, float]] = OrderedDict()
        self._waiting: Counter[str] = Counter()

    def check(self, account: str, address: str | None) -> None:
        """Raises TooManyRequests while the pause after the last failure lasts."""
        if address is None:
            return
        count, failed_at = self._failures.get((account, address), (0, 0.0))
        if count < FREE_FAILURES:
            return
        pause_s = min(2 ** (count - FREE_FAILURES), PAUSE_S_MAX)
        left_s = failed_at + pause_s - monotonic()
        if left_s > 0:
            raise TooManyRequests(
                f"Too many failed logins of this account from this address: try again in "
                f"{int(left_s) + 1} seconds.",
                retry_after_s=int(left_s) + 1,
            )

    def failed(self, account: str, address: str | None) -> None:
        if address is None:
            return
        now = monotonic()
        count, failed_at = self._failures.pop((account, address), (0, now))
        if now - failed_at > FORGET_S:
            count = 0
        self._failures[account, address] = (count + 1, now)
        if len(self._failures) > PLACES_MAX:
            self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str | None) -> None:
        if address is not None:
            self._failures.pop((account, address), None)

    @contextmanager
    def queued(self, account: str, address: str | None) -> Generator[None]:
        """A place in the queue before the password check, which does one at a time. Raises
        TooManyRequests when it is too long, or others from the same address wait already.
        """
        whose = address or f"account {account}"
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
