"""Token buckets, without I/O: how much one peer may make us do."""


class TokenBucket:
    """Refills at `rate_per_s` up to `burst`; may go into debt, which the caller waits off."""

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._at_s: float | None = None

    def charge(self, amount: float, now_s: float) -> float:
        """Take `amount` and give the seconds to wait until the bucket is out of debt."""
        self._refill(now_s)
        self._tokens -= amount
        return max(0.0, -self._tokens / self._rate_per_s)

    def take(self, amount: float, now_s: float) -> bool:
        """Take `amount` if it is there."""
        if not self.holds(amount, now_s):
            return False
        self._tokens -= amount
        return True

    def holds(self, amount: float, now_s: float) -> bool:
        """Tell whether `amount` could be taken."""
        self._refill(now_s)
        return self._tokens >= amount

    def is_full(self, now_s: float) -> bool:
        """Tell whether nothing was taken lately: then it is like a new one."""
        return self.holds(self._burst, now_s)

    def _refill(self, now_s: float) -> None:
        if self._at_s is not None:
            gained = (now_s - self._at_s) * self._rate_per_s
            self._tokens = min(self._burst, self._tokens + gained)
        self._at_s = now_s
