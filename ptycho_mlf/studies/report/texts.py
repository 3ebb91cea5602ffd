"""Numbers as text, the same in the page and in the summary."""

from __future__ import annotations

import math

from ..statistics.interval import Interval
from ..statistics.proportion import Proportion
from ..statistics.spread import Spread

NONE = "–"
_LARGE = 1000
"""From here on decimals say nothing."""


def percent(share: float) -> str:
    """`43 %`, `6.1 %`, `99.5 %`."""
    value = 100 * share
    exact = math.isclose(value, round(value), abs_tol=1e-9)
    # Two digits, and never a rounded 100.
    digits = 1 if not exact and (abs(value) < 9.95 or abs(value) > 99) else 0
    return f"{value:.{digits}f} %"


def percents(interval: Interval) -> str:
    """`12 to 43 %`."""
    return f"{percent(interval.low).removesuffix(' %')} to {percent(interval.high)}"


def counted(found: Proportion) -> str:
    """`2/5`; a dash without any run that counts."""
    return f"{found.k}/{found.n}" if found.n else NONE


def probability(found: Proportion) -> str:
    """`40 % (12 to 77 %)`."""
    return NONE if found.share is None else f"{percent(found.share)} ({percents(found.interval)})"


def rate_with_interval(value: float | None, interval: Interval) -> str:
    """`0.0081 (0.006 to 0.011)`; a dash for a value outside the range, arrows for open ends."""
    low = "←" if interval.low <= 0 else f"{interval.low:.3g}"
    high = "→" if math.isinf(interval.high) else f"{interval.high:.3g}"
    return f"{NONE if value is None else f'{value:.3g}'} ({low} to {high})"


def quartiles(found: Spread | None, digits: int = 3) -> str:
    """`0.812 (0.79 to 0.83)`; −∞ where runs without a value decide."""
    if found is None or found.median is None or found.q25 is None or found.q75 is None:
        return NONE
    return f"{number(found.median, digits)} ({number(found.q25, digits)} to {number(found.q75, digits)})"


def number(value: float | None, digits: int = 3) -> str:
    """Fixed number of decimals; three digits of a large number."""
    if value is None:
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) >= _LARGE:
        return f"{value:.3g}".replace("-", "−", 1)
    return f"{value:.{digits}f}".replace("-", "−")


def short(value: float | None, digits: int = 3) -> str:
    """Significant digits; empty for None."""
    return "" if value is None else f"{value:.{digits}g}"


def plural(count: int, word: str) -> str:
    """`1 run`, `3 runs`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def listed(words: list[str], most: int = 6) -> str:
    """`a, b and c`, shortened beyond `most`."""
    shown = words if len(words) <= most else [*words[: most - 1], f"{len(words) - most + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
