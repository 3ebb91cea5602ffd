"""Numbers as readers see them."""

from __future__ import annotations

import math

import pytest

from ptycho_mlf.studies.report.texts import listed, number, percent, percents, plural, rate_with_interval
from ptycho_mlf.studies.statistics.interval import Interval


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.5, "50 %"),
        (0.0612, "6.1 %"),
        (0.0997, "10 %"),
        (0.9962, "99.6 %"),
        (-0.321, "-32 %"),
    ],
)
def test_percent(share, text):
    assert percent(share) == text


def test_other_numbers():
    assert percents(Interval(0, 0.434)) == "0 to 43 %"
    assert number(-math.inf) == "−∞"
    assert number(-0.1234) == "−0.123"
    assert number(-6.523e17) == "−6.52e+17"
    assert number(None) == "–"
    assert plural(1, "run") + plural(2, "run") == "1 run2 runs"
    assert listed(["a"]) == "a"
    assert listed(list("abcdefgh"), most=4) == "a, b, c and 5 more"
    assert rate_with_interval(None, Interval(0, math.inf)) == "– (← to →)"
    assert rate_with_interval(0.02, Interval(0.009111, 0.0437)) == "0.02 (0.00911 to 0.0437)"
