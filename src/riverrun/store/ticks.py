"""The order of what is appended."""

from riverrun.clock import now_us


class Ticks:
    """Microseconds since the epoch, never the same twice, also when the clock stands still or goes
    back.
    """

    def __init__(self, last: int) -> None:
        self._last = last

    def next(self) -> int:
        self._last = max(self._last + 1, now_us())
        return self._last
