"""The report of a real small study, read as a browser and as a sceptic would read it."""

from __future__ import annotations

import base64
import json
import math
import re
import shlex
import statistics
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.runs.stage_a import run_stage_a
from ptycho_mlf.studies.report.collect import collect_runs, collect_study
from ptycho_mlf.studies.report.data import StudyData
from ptycho_mlf.studies.report.page import document
from ptycho_mlf.studies.report.pictures import BUDGET
from ptycho_mlf.studies.report.plot import Figure
from ptycho_mlf.studies.report.write import ReportRequest, report, write_report
from ptycho_mlf.tracking.queries import download_artifact
from ptycho_mlf.tracking.run_record import RunRecord
from ptycho_mlf.tracking.store import connect

from ...conftest import TINY
from .make_study import arm, large_study, member, study

LIMIT = 10_000_000
COMMON = {"size": 160, "epochs": 5, "scheduler": "Default", "picture_epochs": 0, "gradient_stride": 0}
"""The tiny network on an object that is large enough to learn from."""
ARMS = {
    "tiny/calm": {"learning_rate": 5e-3},
    "tiny/hot": {"optimizer": "sgd", "learning_rate": 1e6, "keep": "evidence"},
}
SEEDS = (1, 2)


class Page(HTMLParser):
    """Elements, tables as rows of texts, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.text: list[str] = []
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data):
        if self.cdata_elem in self.raw:
            self.raw[self.cdata_elem].append(data)
        else:
            self.text.append(data)
            if self._cell:
                self.tables[-1][-1][-1] += data

    def table(self, *heads: str) -> list[list[str]]:
        """Rows of the table that begins with these headings."""
        (found,) = [table for table in self.tables if tuple(table[0][: len(heads)]) == heads]
        return found[1:]

    def figure(self, name: str) -> list[dict]:
        (specification,) = [text for text in self.raw["script"] if text.startswith("[")]
        (found,) = [figure for figure in json.loads(specification) if figure["id"] == name]
        return found["traces"]


@dataclass(frozen=True)
class Made:
    """A study, its report, and what the store says."""

    data: StudyData
    page: Page
    html: str
    summary: str
    parent: str
    killed: str
    runs: list[Run] = field(default_factory=list)

    def of(self, arm: str) -> list[Run]:
        return [run for run in self.runs if run.data.tags["arm"] == arm]


@pytest.fixture(scope="module")
def made(template: Path, dataset_cache: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("study")
    (folder / "mlflow.db").write_bytes(template.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        connect(f"sqlite:///{folder}/mlflow.db")
        tags = {"study": "tiny", "study.kind": "arms", "impossible.tiny/deep": "fno_blocks=9: too deep"}
        with RunRecord.open(name="tiny", tags=tags) as parent:
            for seed in SEEDS:
                for name, settings in ARMS.items():
                    flat = {**TINY, **COMMON, **settings, "seed": seed, "cache_dir": str(dataset_cache)}
                    run_stage_a(RunConfig.from_flat(flat), arm=name, parent_run_id=parent.run_id)
            killed = MlflowClient().create_run(
                parent.experiment_id,
                tags={"fingerprint": "f", "arm": "tiny/calm", "seed": "9", "mlflow.parentRunId": parent.run_id},
            )
            MlflowClient().set_terminated(killed.info.run_id, "KILLED")
        data = collect_study(parent.run_id)
        path = write_report(data, folder / "out")
        found = MlflowClient().search_runs([parent.experiment_id], "tags.verdict LIKE '%'")
        html, summary = path.read_text(), (folder / "out" / "summary.md").read_text()
        yield Made(data, Page(html), html, summary, parent.run_id, killed.info.run_id, found)
        mlflow.set_tracking_uri(None)


def test_the_page_asks_for_nothing(made: Made):
    policy = [a for tag, a in made.page.elements if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0]["content"] is not None
    assert policy[0]["content"].startswith("default-src 'none';")
    assert "http" not in policy[0]["content"]
    tags = {tag for tag, _ in made.page.elements}
    assert not tags & {"link", "iframe", "object", "embed", "base", "form", "audio", "video", "a"}
    for tag, attributes in made.page.elements:
        for name in ("src", "href", "srcset", "data", "poster", "action", "background", "xlink:href"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, name)
        assert "url(" not in (attributes.get("style") or "")
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import", "".join(made.page.raw["style"]))
    own = [text for text in made.page.raw["script"] if "plotly.js v" not in text]
    assert len(own) == 2, "the figures and the page's script"
    assert len(made.page.raw["script"]) == 3, "plotly.js once"
    assert not re.search(r"https?:|fetch\(|XMLHttpRequest|import\(", "".join(own))
    assert len(made.html) < LIMIT


def wilson(k: int, n: int) -> tuple[float, float]:
    z, p = 1.959964, k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return centre - half, centre + half


def test_counts_and_intervals_are_those_of_the_store(made: Made):
    heads = made.page.tables[0][0]
    rows = {row[0]: dict(zip(heads, row, strict=True)) for row in made.page.table("arm", "runs", "crashed")}
    assert list(rows) == ["tiny/calm", "tiny/hot", "tiny/deep"]
    for name in ARMS:
        crashes = sum(run.data.tags["verdict.crash"] == "true" for run in made.of(name))
        counted = sum(run.data.tags["verdict.crash"] != "none" for run in made.of(name))
        assert rows[name]["crashed"] == f"{crashes}/{counted}"
        low, high = (round(100 * end) for end in wilson(crashes, counted))
        assert rows[name]["P(crash)"] == f"{round(100 * crashes / counted)} % ({low} to {high} %)"
        for verdict in {run.data.tags["verdict"] for run in made.of(name)}:
            assert rows[name][verdict] == str(sum(run.data.tags["verdict"] == verdict for run in made.of(name)))
    # One arm survived and one crashed: the tables below have something to tell.
    assert {rows[name]["crashed"][0] for name in ARMS} == {"0", "2"}
    assert (rows["tiny/calm"]["runs"], rows["tiny/calm"]["no verdict"]) == ("3", "1")
    assert rows["tiny/deep"]["P(crash)"] == "impossible"
    assert "1 arm impossible" in "".join(made.page.text)


def test_quality_is_the_median_of_the_store(made: Made):
    rows = [table for table in made.page.tables if table[0][:2] == ["arm", "over"]]
    for weights, table in zip(("best", "last"), rows, strict=True):
        (row,) = [row for row in table if row[:2] == ["tiny/calm", "all seeds"]]
        for at, metric in enumerate((f"val/skill_{weights}", f"test/{weights}/ssim_amp", f"test/{weights}/ssim_phase")):
            median = statistics.median(run.data.metrics[metric] for run in made.of("tiny/calm"))
            assert row[3 + at].split(" ")[0].replace("−", "-") == f"{median:.3f}"
    gaps = {row[0]: row for row in made.page.table("arm", "runs", "validation skill, best − last")}
    differences = [
        run.data.metrics["val/skill_best"] - run.data.metrics["val/skill_last"] for run in made.of("tiny/calm")
    ]
    assert gaps["tiny/calm"][2].split(" ")[0] == f"{statistics.median(differences):.3f}"
    # No run of the other arm ended with a loss: nothing is worse.
    assert ["tiny/hot", "all seeds", "2", "−∞ (−∞ to −∞)"] in [row[:4] for row in rows[1]]
    assert ["", "survivors", "0", "–"] in [row[:4] for row in rows[1]]


def test_every_run_has_its_row_and_a_command_that_repeats_it(made: Made):
    rows = [attributes for tag, attributes in made.page.elements if tag == "tr" and "data-run" in attributes]
    assert len(rows) == len(SEEDS) * len(ARMS) + 1
    texts = made.page.table("arm", "seed", "lr")
    for attributes, cells in zip(rows, texts, strict=True):
        run = MlflowClient().get_run(attributes["data-run"].split()[1].strip(","))
        assert cells[1] == run.data.tags["seed"]
        if run.info.run_id == made.killed:
            assert cells[3] == "killed*"
            continue
        verdict = json.loads(download_artifact(run.info.run_id, "verdict.json").read_text())
        trace = pq.read_table(download_artifact(run.info.run_id, "trace.parquet"))
        assert cells[3] == verdict["name"]
        assert cells[4] == str(len(trace))
        assert cells[5] == ("" if verdict["onset_step"] is None else str(verdict["onset_step"]))
        words = shlex.split(attributes["data-command"])
        assert words[:3] == ["python", "-m", "entrypoints.stage_a"]
        given = {name.removeprefix("--"): value for name, value in zip(words[3::2], words[4::2], strict=True)}
        assert RunConfig.from_flat(given).fingerprint() == run.data.tags["fingerprint"]
        assert "cache_dir" not in given, "where it was computed is nobody else's business"
        defaults = RunConfig().flat()
        assert all(str(defaults[name]) != value for name, value in given.items())


def decoded(values) -> np.ndarray:
    return np.frombuffer(base64.b64decode(values["bdata"]), "<f4")


def test_the_median_line_is_that_of_the_traces(made: Made):
    ids = [run.info.run_id for run in made.of("tiny/calm")]
    losses = [pq.read_table(download_artifact(run_id, "trace.parquet"))["loss"].to_numpy() for run_id in ids]
    (line,) = [t for t in made.page.figure("fig-loss") if t["meta"]["arm"] == 0 and "customdata" in t]
    np.testing.assert_allclose(decoded(line["y"]), np.median(losses, axis=0), rtol=1e-6)
    assert decoded(line["x"]).tolist() == list(range(len(losses[0])))
    assert set(decoded(line["customdata"])) == {len(SEEDS)}


def test_failures_are_where_they_began(made: Made):
    onsets = sorted(int(run.data.tags["verdict.onset_step"]) for run in made.of("tiny/hot"))
    (row,) = [row for row in made.page.table("arm", "runs", "failed") if row[0] == "tiny/hot"]
    assert row == ["tiny/hot", "2", "2", str(onsets[0]), str(onsets[0]), str(onsets[1])]


def test_arms_differ_in_what_was_set(made: Made):
    rows = {row[0]: row[1:] for row in made.page.table("parameter", *ARMS)}
    assert {name: rows.pop(name) for name in ("optimizer", "learning_rate")} == {
        "optimizer": ["adam", "sgd"],
        "learning_rate": ["0.005", "1000000.0"],
    }
    assert rows == {"keep": ["all", "evidence"]}


def test_pictures_show_best_and_worst_seed(made: Made):
    images = [a for tag, a in made.page.elements if tag == "img" and "tiny/calm" in (a["alt"] or "")]
    # Truth, and two runs with best and last weights, in amplitude and phase.
    assert len(images) == 2 * 5
    skills = {run.data.tags["seed"]: run.data.metrics["val/skill_last"] for run in made.of("tiny/calm")}
    best = max(skills, key=lambda seed: skills[seed])
    assert f"tiny/calm, best seed {best}, last weights, amplitude" in {image["alt"] for image in images}


def test_the_summary_says_the_same(made: Made):
    first, *lines = made.summary.splitlines()
    assert first.startswith("**Crashes, with 95 % interval of their probability: tiny/calm in 0 of 2 (0 to 66 %)")
    table = made.page.table("arm", "runs", "crashed")
    assert f"| tiny/hot | 2 | 2/2 | {table[1][3]} |" in "\n".join(lines)
    assert f"python -m entrypoints.report --parent {made.parent}" in lines


def test_different_data_are_refused_in_the_first_line(made: Made, tmp_path: Path):
    other = [replace(one, dataset_hash="beef") if one.arm == "tiny/hot" else one for one in made.data.members]
    path = write_report(replace(made.data, members=tuple(other)), tmp_path)
    first = (tmp_path / "summary.md").read_text().splitlines()[0]
    true = made.data.dataset_hashes[0]
    assert first == f"**Not ranked: these runs saw different data (dataset hashes {true}, beef).**"
    assert f"<p>{first.strip('*')}</p>" in path.read_text()


def test_names_are_shown_and_never_executed(tmp_path: Path):
    name = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    data = study(*arm(name, 1, 2), member(7, name, "none", reason='"><b>'), name=name, command=name)
    page = Page(write_report(data, tmp_path).read_text())
    assert len(page.raw["script"]) == 3
    assert not [a for tag, a in page.elements if tag == "img" or "onerror" in a]
    assert name in page.text


def test_no_text_of_a_figure_ends_its_script():
    figure = Figure("fig", "title", "caption", [], {"title": "</script><!--<script>"})
    page = Page(document("title", [], [figure]))
    assert len(page.raw["script"]) == 3
    assert json.loads(page.raw["script"][0])[0]["layout"] == figure.layout


def test_five_hundred_runs_fit(tmp_path: Path):
    path = write_report(large_study(500, 12, 2000), tmp_path)
    assert path.stat().st_size < LIMIT - BUDGET, "and there is room for the pictures"
    assert (tmp_path / "summary.md").stat().st_size < 100_000


def test_the_entry_point_finds_a_study_and_says_where_the_report_is(made: Made):
    *sentences, place = report(ReportRequest(study="tiny"))
    assert sentences[0] in "".join(made.page.text)
    assert place.startswith(f"run {made.parent}: artifact report.html, /")
    found = Path(place.partition(", ")[2])
    assert found.read_text() == download_artifact(made.parent, "report.html").read_text()
    assert (found.parent / "summary.md").read_text().startswith(f"**{sentences[0]}**")


def test_any_runs_are_reported_to_a_folder(made: Made, tmp_path: Path):
    ids = [run.info.run_id for run in made.runs[:2]]
    *_, place = report(ReportRequest(runs=",".join(ids), output=str(tmp_path / "deep" / "er")))
    assert place == str(tmp_path / "deep" / "er" / "report.html")
    assert [one.run_id for one in collect_runs(ids).members] == ids
    assert f"--runs {','.join(ids)}" in Path(place).read_text()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ReportRequest(), "study, runs, parent: name exactly one of them"),
        (ReportRequest(study="a", parent="b"), "name exactly one"),
        (ReportRequest(study="nope"), "study=nope: there is no study of this name"),
        (ReportRequest(runs="nope"), "run nope: there is none with this id"),
        (ReportRequest(parent="nope"), "run nope: there is none with this id"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(made: Made, request_: ReportRequest, message: str):
    with pytest.raises(InputError, match=message):
        report(request_)


def test_a_run_without_children_and_a_folder_that_is_a_file(made: Made, tmp_path: Path):
    with pytest.raises(InputError, match="there is no run of ptycho_mlf below it"):
        report(ReportRequest(parent=made.killed))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"output=.*cannot be written"):
        write_report(made.data, tmp_path / "file")
