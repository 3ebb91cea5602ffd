"""The page of a sweep: log axes, places for what is not used, few points, nothing loaded from elsewhere."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import optuna
import pytest
from optuna.trial import FrozenTrial

from ptycho_mlf.studies.sweep.figures import parallel_figure, slice_figure
from ptycho_mlf.studies.sweep.grammar import parse_space
from ptycho_mlf.studies.sweep.importance import importances
from ptycho_mlf.studies.sweep.points import command_of, points_of
from ptycho_mlf.studies.sweep.space import suggest
from ptycho_mlf.studies.sweep.sweep_page import SweepResult
from ptycho_mlf.studies.sweep.sweep_plan import sweep_plan

optuna.logging.set_verbosity(optuna.logging.ERROR)
GIVEN = {"learning_rate": "log:1e-5..1e-1", "optimizer": "adam|sgd", "momentum": "0.1..0.9", "width": "4..6"}
PLAN = sweep_plan(GIVEN)
SPACE = parse_space(PLAN.space)


def trials(n: int) -> list[FrozenTrial]:
    """Only the learning rate decides: 1e-3 is the best, from 3e-2 on everything crashes."""

    def objective(trial: optuna.Trial) -> float:
        rate = suggest(trial, SPACE)["learning_rate"]
        crash = rate > 3e-2
        row = {"verdict": "diverged" if crash else "healthy", "crash": crash, "run_id": f"r{trial.number}"}
        trial.set_user_attr("runs", [row])
        if trial.number % 6 == 3 and not crash:
            trial.report(-5.0, 2)
            trial.set_constraint("health", 1.0)
            raise optuna.TrialPruned
        if trial.number % 6 == 5:
            trial.set_user_attr("impossible", "a rule")
        trial.set_constraint("health", float(crash or trial.number % 6 == 5))
        return 0.0 if crash else 0.9 - 0.2 * abs(math.log10(rate) + 3)

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=2))
    study.optimize(objective, n_trials=n)
    return study.trials


class Page(HTMLParser):
    """Whatever a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.scripts += tag == "script"
        self.fetched += [str(values[name]) for name in ("src", "href", "data", "action") if name in values]


@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_the_page_holds_everything_whatever_the_number_of_points(n: int):
    result = SweepResult(PLAN, trials(n))
    html = result.html("demo")
    page = Page()
    page.feed(html)
    assert page.fetched == []
    assert html.count("plotly.js v") == (1 if n else 0)
    assert len(html) < 10e6
    figures = {0: 0, 1: 3, 2: 3, 40: 4}[n]
    assert page.scripts == (figures + 1 if n else 0)
    healthy = [point for point in result.points if point.fate == "healthy"]
    if healthy:
        assert result.best is not None
        assert result.best.value == max(point.value or 0 for point in healthy)
    else:
        assert result.lines()[0].startswith("No point ended healthy")


def test_axes_are_logarithmic_where_the_range_is_and_unused_points_have_a_place():
    points = [point for point in points_of(trials(40), "skill") if point.value is not None]
    figure = parallel_figure(points, SPACE.ranges, "validation skill").to_dict()
    axes = {axis["label"]: axis for axis in figure["data"][0]["dimensions"]}
    assert list(axes) == [*GIVEN, "fate", "validation skill"]
    rates = axes["learning_rate"]
    assert list(rates["values"]) == pytest.approx([math.log10(point.params["learning_rate"]) for point in points])
    assert dict(zip(rates["tickvals"], rates["ticktext"], strict=True)) == {
        -5.0: "1e-05",
        -4.0: "0.0001",
        -3.0: "0.001",
        -2.0: "0.01",
        -1.0: "0.1",
    }
    momenta = axes["momentum"]
    for point, place in zip(points, momenta["values"], strict=True):
        if point.params["optimizer"] == "sgd":
            assert place == point.params["momentum"]
        else:
            assert place < 0.1
            assert dict(zip(momenta["tickvals"], momenta["ticktext"], strict=True))[place] == "not used"
    assert list(axes["width"]["tickvals"]) == [4, 5, 6]
    # What was given up at -5 is shown as no better than a constant.
    assert min(axes["validation skill"]["values"]) == 0.0

    slices = slice_figure(points, SPACE.ranges, "validation skill").to_dict()
    kinds = [slices["layout"][f"xaxis{k}"]["type"] for k in ("", 2, 3, 4)]
    assert kinds == ["log", "category", "linear", "linear"]
    shown = [trace for trace in slices["data"] if trace["xaxis"] == "x3"]
    assert sum(len(trace["x"]) for trace in shown) == sum("momentum" in point.params for point in points)


def test_importance_finds_what_decides_and_takes_conditional_parameters():
    found = importances(trials(60))
    assert set(found) == set(GIVEN)
    assert next(iter(found)) == "learning_rate"
    assert found["learning_rate"] > 0.5
    assert sum(found.values()) == pytest.approx(1)
    assert importances(trials(8)) == {}


def test_the_command_leaves_out_what_the_point_does_not_use_and_quotes_the_rest():
    space = parse_space({**GIVEN, "epochs": "4", "keep": "evidence", "cache_dir": "/a b"})
    command = command_of({"learning_rate": 1e-3, "optimizer": "adam", "width": 5}, space)
    assert command.startswith("mlflow run . -e stage_a ")
    options = dict(re.findall(r"-P (\w+)=('[^']*'|\S+)", command))
    assert options == {
        "optimizer": "adam",
        "learning_rate": "0.001",
        "width": "5",
        "epochs": "4",
        "cache_dir": "'/a b'",
    }
