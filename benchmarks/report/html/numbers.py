"""Numbers as JSON has them: rounded, and null for what is not a number."""

from __future__ import annotations

import math

Number = float | int | None


def number(value: float | None, digits: int = 4) -> Number:
    """The value rounded; None for NaN, infinity and None. Adding 0.0 turns -0.0 into 0.0."""
    return None if value is None or not math.isfinite(value) else round(float(value), digits) + 0.0
