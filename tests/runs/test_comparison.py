"""The table of runs: ranked by validation skill where that means something, and refusing where it does not."""

from __future__ import annotations

import io
import json

from rich.console import Console

from ptycho_mlf.runs.comparison import comparison, print_comparison
from ptycho_mlf.tracking.queries import RunSummary


def run(name: str, skill: float | None, verdict: str | None = "healthy", data: str = "aaaa") -> RunSummary:
    metrics = {} if skill is None else {"val/skill_best": skill, "val/loss_best": 0.2 * (1 - skill)}
    tags = {"arm": name, "seed": "1", "dataset_hash": data, "fingerprint": "f"}
    return RunSummary(
        run_id=f"{name}-id",
        name=name,
        status="FINISHED" if verdict else "RUNNING",
        params={},
        tags=tags | ({"verdict": verdict} if verdict else {}),
        # A better test score must not lift a run.
        metrics=metrics | {"test/best/ssim_amp": 1 - (skill or 0)},
        start_time=0.0,
        parent=None,
        experiment_id="1",
    )


def printed(found) -> str:
    text = io.StringIO()
    print_comparison(found, Console(file=text, width=200))
    return text.getvalue()


def test_runs_are_ranked_by_validation_skill_and_crashes_come_last():
    runs = [run("poor", 0.3), run("flat", 0.9, "flat_amplitude"), run("good", 0.8), run("busy", None, None)]
    runs += [run("spiky", 0.5, "spike"), run("idle", 0.01, "stagnated")]
    found = comparison(runs)
    assert [(row.arm, row.rank) for row in found.rows[:3]] == [("good", 1), ("spiky", 2), ("poor", 3)]
    assert {(row.arm, row.rank) for row in found.rows[3:]} == {("flat", None), ("busy", None), ("idle", None)}
    table = printed(found)
    assert table.index("good") < table.index("poor") < table.index("flat")
    assert "running" in table


def test_the_table_is_aligned_and_takes_names_as_they_are():
    skills, best, *rows = printed(comparison([run("a[bold]", 0.25), run("an arm of a long name", 0.5)])).splitlines()
    assert len(rows) == 2
    starts = {best.index("arm"), rows[0].index("an arm of"), rows[1].index("a[bold]")}
    ends = {
        skills.index("skill") + len("skill"),
        rows[0].index("0.5") + len("0.5"),
        rows[1].index("0.25") + len("0.25"),
    }
    assert (len(starts), len(ends)) == (1, 1), "words to the left, numbers to the right"


def test_runs_on_different_data_are_not_ranked_and_the_first_line_says_so():
    found = comparison([run("one", 0.3), run("two", 0.8, data="bbbb")])
    assert [row.rank for row in found.rows] == [None, None]
    assert [row.arm for row in found.rows] == ["one", "two"]
    first = printed(found).splitlines()[0]
    assert first == "not ranked: these runs saw different data (dataset hashes aaaa, bbbb)"
    document = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert document["ranked"] is False
    assert document["reason"] == first


def test_no_runs_at_all():
    assert "No runs" in printed(comparison([]))
