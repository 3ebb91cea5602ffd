"""The comparison itself: it has to refuse what is off."""

import pytest


def test_check_accepts_what_is_within_the_tolerance(acceptance):
    acceptance.check("object.train0.amp_mean", 2.656085)
    acceptance.check("counts.N64_gs1", (6889, 1089))
    acceptance.check("stats.wilson_upper", {"0/3": 0.56155, "0/40": 0.0876, "0/73": 0.05, "1/3": 0.7923})


@pytest.mark.parametrize(
    ("id", "value"),
    [
        ("object.train0.amp_mean", 2.6561),
        ("object.train0.amp_mean", float("nan")),
        ("counts.N64_gs1", (6889, 1090)),
        ("counts.N64_gs1", (6889,)),
        ("stats.wilson_upper", {"0/3": 0.5615}),
    ],
)
def test_check_refuses_what_is_off(acceptance, id, value):
    with pytest.raises(AssertionError):
        acceptance.check(id, value)
