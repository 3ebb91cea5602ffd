"""How far a reconstruction is, and for how long it will go on."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

_EVERY_S = 20.0
"""Between two lines in a log file; what ends sooner says nothing."""


class ReconstructionProgress:
    """A bar with the time left, or in a log file a line now and then. Call it with patterns done and all patterns."""

    def __enter__(self) -> Self:
        """Begin to count the time."""
        self._begun = self._said = time.monotonic()
        self._bar = tqdm(
            unit="pattern", file=sys.stderr, dynamic_ncols=True, mininterval=0.2, disable=not sys.stderr.isatty()
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bar where it stands."""
        self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        """So many patterns are done, of so many."""
        if not self._bar.disable:
            self._bar.total = total
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if now - self._said >= _EVERY_S and done < total:
            self._said = now
            left = (now - self._begun) / done * (total - done)
            print(f"{done} of {total} patterns; {left:.0f} s left", file=sys.stderr, flush=True)
