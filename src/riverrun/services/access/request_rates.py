"""How many requests a second one may send, by token or user: a bucket that fills as time passes."""

from time import monotonic

from riverrun.errors import TooManyRequests

BUCKETS_MAX = 10_000


class RequestRates:
    """`per_s` of 0 lets all pass. A second's worth may come at once."""

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._buckets: dict[object, tuple[float, float]] = {}

    def check(self, who: object) -> None:
        """Raises TooManyRequests for one too many."""
        per_s = self._per_s
        if not per_s:
            return
        now = monotonic()
        left, at = self._buckets.get(who, (float(per_s), now))
        left = min(float(per_s), left + (now - at) * per_s)
        if left < 1:
            self._buckets[who] = (left, now)
            raise TooManyRequests(
                f"More than {per_s} requests a second: try again in a second.", retry_after_s=1
            )
        if who not in self._buckets and len(self._buckets) >= BUCKETS_MAX:
            self._make_room(now)
        self._buckets[who] = (left - 1, now)

    def _make_room(self, now: float) -> None:
        """Those who were not here for a second have a full bucket anyway."""
        self._buckets = {who: kept for who, kept in self._buckets.items() if now - kept[1] < 1}
        if len(self._buckets) >= BUCKETS_MAX:
            self._buckets.clear()
