"""How long a sweep will still take: runs at work by how far they are, the others by what runs like them took."""

from __future__ import annotations

import heapq
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, median

SURE = 0.02
"""Share of a run from which on its own pace is trusted."""


@dataclass
class AtWork:
    """A run at work: `since` it began, and since when (both in seconds of one clock) its sessions go on, of which `share` is done."""

    variant: str
    since: float
    sessions_since: float | None = None
    share: float = 0.0
    base_share: float = 0.0

    def told(self, text: str, now: float) -> None:
        """Notes how far the run is, from a progress text."""
        share, text = share_of(text), text.rpartition(" together: ")[2]
        if text.startswith("base"):
            self.base_share = max(self.base_share, share)
        elif text.startswith("session"):
            self.sessions_since = now if self.sessions_since is None else self.sessions_since
            self.share = max(self.share, share)

    def left(self, now: float, expected: float | None) -> float | None:
        """Seconds that the run still needs: by its own pace once it has one, else what is left of the `expected` seconds. A run that has
        taken longer is taken to need half as long again. None if nothing is known."""
        elapsed = now - self.since
        if self.sessions_since is not None and self.share > SURE and now > self.sessions_since:
            return (now - self.sessions_since) / self.share * (1 - self.share)
        if expected is None:
            return None
        return max(expected - elapsed, self.base_left(now) or 0.0, elapsed / 2 if elapsed > expected else 0.0)

    def base_left(self, now: float) -> float | None:
        """Seconds that its base session still needs, by its own pace; None if it has none, or is over."""
        if self.sessions_since is not None or self.base_share <= SURE:
            return None
        return (now - self.since) / self.base_share * (1 - self.base_share)


@dataclass
class Estimate:
    """What runs took so far, by variant, and `before`: what runs of this variant took in earlier sweeps, without their base session."""

    before: Mapping[str, float] = field(default_factory=dict)
    took: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def expected(self, variant: str) -> float | None:
        """Seconds that a run of this variant takes: the mean of those done, else of earlier sweeps, else as long as a typical run of the
        others; None if nothing is known."""
        if variant in self.took:
            return mean(self.took[variant])
        if variant in self.before:
            return self.before[variant]
        known = [mean(seconds) for seconds in self.took.values()] or list(self.before.values())
        return median(known) if known else None

    def left(self, at_work: Sequence[AtWork], waiting: Sequence[str], workers: int, now: float) -> float | None:
        """Seconds until `workers` are done with the runs `at_work` and the variants `waiting`, each by the worker that is free first; None
        if nothing is known."""
        busy = [(one, seconds) for one in at_work if (seconds := one.left(now, self.expected(one.variant))) is not None][:workers]
        paces = {one.variant: seconds + now - one.since for one, seconds in busy}
        typical = self.expected("") or (median(paces.values()) if paces else None)
        if typical is None:
            return None
        ends = [seconds for _, seconds in busy] + [0.0] * (workers - len(busy))
        heapq.heapify(ends)
        known = {variant: None if variant in paces and variant not in self.took else self.expected(variant) for variant in set(waiting)}
        for seconds in sorted((known[variant] or paces.get(variant, typical) for variant in waiting), reverse=True):
            heapq.heappush(ends, heapq.heappop(ends) + seconds)
        return max(ends, default=0.0)


def share_of(text: str) -> float:
    """The share that is done of what a progress text tells: `base session, epoch 3/30`, `session 2/8, epoch 10/70` (the session is at
    work), `session 2/8, 63.3 %` (it is over). 0 for other texts."""
    session, epoch = (re.search(rf"{word} (\d+)/(\d+)", text) for word in ("session", "epoch"))
    inner = int(epoch[1]) / max(1, int(epoch[2])) if epoch else 0.0
    if session is None:
        return min(1.0, inner)
    number, count = int(session[1]), int(session[2])
    done = number - 1 + inner if epoch else number
    return min(1.0, max(0.0, done / max(1, count)))


def readable(seconds: float) -> str:
    """A duration as `42 s`, `7 min` or `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
