"""Arms that ran at several learning rates: which they are, which of their runs count, what is said of them."""

from __future__ import annotations

import numpy as np

from ptycho_mlf.studies.report.data import Member, Validations
from ptycho_mlf.studies.report.estimates import estimate
from ptycho_mlf.studies.report.figures_rate import crash_figure, loss_figure
from ptycho_mlf.studies.report.findings import findings
from ptycho_mlf.studies.report.page import report_html
from ptycho_mlf.studies.report.tables import quality_table, rates_table, stability_table, threshold_table
from ptycho_mlf.studies.threshold.sentences import advice
from ptycho_mlf.studies.threshold.threshold import fit_threshold

from .make_study import member, study


def run(number: int, rate: float, outcome: str, arm: str = "a", last: float | None = 0.1, **params: str) -> Member:
    return member(
        number,
        arm,
        outcome,
        params={"learning_rate": f"{rate:g}", **params},
        metrics={"val/skill_best": 0.5} | ({} if last is None else {"val/loss_last": last}),
        validations=Validations(np.array([10.0]), np.array([0.1]), 0.4),
    )


LOW, HIGH = (0.001, 0.002, 0.004, 0.008), (0.016, 0.032, 0.064, 0.128)
SEARCH = [run(k, rate, "survived") for k, rate in enumerate(LOW)] + [
    run(9 + k, rate, "crashed", last=None) for k, rate in enumerate(HIGH)
]


def test_only_crashed_and_survived_runs_are_fitted_over_the_range_that_was_searched():
    others = [run(20 + k, 0.5, outcome) for k, outcome in enumerate(("stagnated", "oom", "pruned", "none"))]
    data = study(*SEARCH, *others, rate_range=(1e-4, 1.0))
    found = estimate(data)
    expected = fit_threshold([*LOW, *HIGH], [False] * 4 + [True] * 4, 1e-4, 1.0)
    assert found.rates["a"].threshold == expected
    (row,) = threshold_table(found.rates).rows
    assert row[2] == f"{expected.lr50:.3g} ({expected.lr50_interval.low:.3g} to {expected.lr50_interval.high:.3g})"
    assert f"a: {advice(expected)}" in findings(data, found)[0]
    # Without a search the range is what was tried.
    assert estimate(study(*SEARCH)).rates["a"].threshold == fit_threshold(
        [*LOW, *HIGH], [False] * 4 + [True] * 4, 0.001, 0.128
    )


def test_a_training_without_a_finite_end_counts_as_having_learned_nothing():
    losses = estimate(study(*SEARCH, run(30, 0.001, "stagnated", last=0.3))).rates["a"].losses
    assert losses is not None
    assert losses.l_med_R == (0.2, 0.1, 0.1, 0.1, 0.4, 0.4, 0.4, 0.4)
    # A run that was given up, or whose beginning is not known, tells nothing of the end.
    unknown = member(31, params={"learning_rate": "0.5"}, metrics={"val/loss_last": 0.1})
    assert estimate(study(*SEARCH, run(32, 0.5, "pruned"), unknown)).rates["a"].losses == (
        estimate(study(*SEARCH)).rates["a"].losses
    )


def test_arms_that_differ_in_more_than_the_rate_have_no_threshold_and_no_probability():
    data = study(*SEARCH, run(40, 0.1, "crashed", "b", width="8"), run(41, 0.2, "survived", "b", width="16"))
    found = estimate(data)
    assert list(found.rates) == ["a"]
    assert [row[3] for row in stability_table(data, found.stability).rows] == [
        "several learning rates",
        "several settings",
    ]
    assert "b: 1 of 2 runs crashed; they differ in width and learning_rate." in findings(data, found)
    assert not found.contrasts
    assert found.mixed
    assert quality_table(found.quality, "best", found.mixed).caption.endswith("over all of them.")
    assert {row[0] for row in rates_table(found.stability, found.rates).rows} == {"a"}


def test_one_outcome_and_one_rate_are_drawn_too():
    calm = [run(k, rate, "survived") for k, rate in enumerate(LOW)]
    data = study(*calm, *(run(10 + k, 0.01, "survived", "single") for k in range(3)))
    found = estimate(data)
    assert found.rates["a"].threshold.bound == "all_survive"
    figure = crash_figure(data, found.stability, found.rates)
    bound, points = figure.traces
    # No curve; LR50 lies somewhere from its bound to the end of the axis.
    assert bound["x"] == [float(f"{found.rates['a'].threshold.lr50_interval.low:.6g}"), 0.008]
    assert points["text"] == ["0 of 1 crashed"] * 4
    assert loss_figure(data, found.rates) is not None
    assert "fig-crash" in report_html(data, found)
    assert crash_figure(study(*calm[:1]), [], {}) is None
