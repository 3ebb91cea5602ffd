"""The documents are held against the repository and against a real run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from ptycho_mlf.config import RunConfig, parameters
from ptycho_mlf.evaluation.legacy import NAMES as LEGACY
from ptycho_mlf.runs.stage_a import run_stage_a
from ptycho_mlf.telemetry.trace import read_trace
from ptycho_mlf.tracking.queries import download_artifact

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
TEXT = {page.relative_to(ROOT).as_posix(): page.read_text() for page in PAGES}

PLACEHOLDERS = {
    "<weights>": "(best|last)",
    "<kind>": "(amp|phase)",
    "<image>": "(complex|amp|phase)",
    "<score>": "(mae|mse|psnr|ssim|msssim|pearson|nmae)",
    "<legacy>": f"({'|'.join(LEGACY)})",
}
NOT_HERE = {
    "failure.txt",
    "postmortem.html",
    "gradients/onset.json",
    "gradients/replay/onset.safetensors",
    "gradients/replay/replay.html",
    "gradients/replay/replay.json",
    "failure",
    "verdict.onset_step",
    "verdict.cause",
    "stopped_early",
    "pruned",
    "head/saturation",
    "spike_score/loss",
    "spike_score/grad_norm_preclip",
    "range_test/lr_steepest",
    "range_test/lr_diverged",
}
"""What a healthy run with an unbounded head does not have."""
IN_CHECKOUTS = {"git_commit", "git_dirty"}


@pytest.fixture(scope="module")
def documented() -> dict[str, list[str]]:
    """Code words of the first column of every table of docs/artifacts.md, by heading."""
    tables: dict[str, list[str]] = {}
    heading = ""
    for line in TEXT["docs/artifacts.md"].splitlines():
        if line.startswith("#"):
            heading = line.strip("# ").replace("`", "")
        elif found := re.match(r"\| `([^`]+)` \|", line):
            tables.setdefault(heading, []).append(found[1])
    return tables


@pytest.fixture
def run(tiny: Callable[..., RunConfig], store: Path) -> Run:
    return MlflowClient().get_run(
        run_stage_a(tiny(clip_algorithm="norm", activation_epochs=1, critical_rate_epochs=1, sharpness_epochs=1)).run_id
    )


def test_artifacts_md_tells_what_a_replay_holds(documented: dict[str, list[str]]):
    schema = json.loads((ROOT / "ptycho_mlf/telemetry/schemas/replay.schema.json").read_text())
    assert sorted(schema["properties"]) == sorted(documented["gradients/replay/replay.json"])


def files(run_id: str, folder: str | None = None) -> Iterator[str]:
    for item in MlflowClient().list_artifacts(run_id, folder):
        yield from files(run_id, item.path) if item.is_dir else [item.path]


def test_artifacts_md_tells_what_a_run_leaves_behind(run: Run, documented: dict[str, list[str]]):
    run_id = run.info.run_id
    # MLflow names logged images after key, step and time.
    left = {"images/*" if name.startswith("images/") else name for name in files(run_id)}
    assert sorted(left) == sorted(set(documented["Artifacts"]) - NOT_HERE)

    def content(name: str):
        return json.loads(download_artifact(run_id, name).read_text())

    with np.load(download_artifact(run_id, "reconstruction/best.npz")) as arrays:
        images = list(arrays)
    parquet = pq.read_table(download_artifact(run_id, "gradients/gradients.parquet"))
    keys = {
        "trace.parquet": read_trace(download_artifact(run_id, "trace.parquet")).columns,
        "history.json": content("history.json")["epochs"][0],
        "metrics.json": content("metrics.json")["best"],
        "stats.json": content("stats.json"),
        "verdict.json": content("verdict.json"),
        "config.json": content("config.json"),
        "reconstruction/*.npz": images,
        "activations/activation_report.json": content("activations/activation_report.json")["snapshots"][0]["layers"][
            0
        ],
        "curvature.json": [
            f"{part}.{key}" for part in ("critical_rate", "sharpness") for key in content("curvature.json")[part][0]
        ],
        "gradients/gradients.parquet": parquet.column_names,
        "gradients/gradient_report.json": content("gradients/gradient_report.json")["layers"][0],
    }
    for name, found in keys.items():
        assert sorted(found) == sorted(documented[name]), name
    assert set(content("metrics.json")) == {"best", "last", "floors"}

    resolved = {name for name in run.data.params if name.startswith("resolved/")}
    assert resolved == set(documented["Parameters of the run"])
    assert set(run.data.params) - resolved == {name for _, name, _ in parameters()}
    ours = {name for name in run.data.tags if not name.startswith("mlflow.")}
    assert ours | IN_CHECKOUTS == set(documented["Tags"]) - NOT_HERE
    contexts = {tag.value for item in run.inputs.dataset_inputs for tag in item.tags}
    assert contexts == {"training", "validation", "test"}
    assert run.outputs is not None
    assert len(run.outputs.model_outputs) == 1

    patterns = {row: re.escape(row) for row in documented["Metrics"]}
    for word, choice in PLACEHOLDERS.items():
        patterns = {row: pattern.replace(re.escape(word), choice) for row, pattern in patterns.items()}
    matches = {name: [row for row, p in patterns.items() if re.fullmatch(p, name)] for name in run.data.metrics}
    assert {name: rows for name, rows in matches.items() if len(rows) != 1} == {}
    assert {row for rows in matches.values() for row in rows} == set(patterns) - NOT_HERE


@pytest.mark.parametrize("page", TEXT)
def test_relative_links_resolve(page: str):
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT[page]):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            where = (ROOT / page).parent / path if path else ROOT / page
            assert where.exists(), target
            assert not anchor or anchor in anchors(where.read_text()), target


def anchors(text: str) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", sorted(set(TEXT) - {"docs/parameters.md"}))
def test_commands_name_what_exists(page: str):
    text = TEXT[page]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    entries = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
    code = "\n".join(
        re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
    )
    assert set(re.findall(r"\bmake ([\w-]+)", code)) <= set(targets)
    assert set(re.findall(r"mlflow run \. -e (\w+)", code)) <= set(entries)
    for module in re.findall(r"python -m ((?:entrypoints|ptycho_mlf)[\w.]*)", code):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module
    names = {name for _, name, _ in parameters()}
    names |= {name for entry in entries.values() for name in entry.get("parameters", {})}
    assert set(re.findall(r"-P (\w+)=", code)) <= names
    for line in re.findall(r"python -m entrypoints\.\w+(.*)", code):
        assert {name.replace("-", "_") for name in re.findall(r"--([\w-]+)", line)} <= names | {"help"}, line


@pytest.mark.parametrize("page", TEXT)
def test_environment_variables_are_read_somewhere(page: str):
    sources = [*(ROOT / "ptycho_mlf").rglob("*.py"), *(ROOT / "tests" / "acceptance").glob("*.py")]
    code = "\n".join(path.read_text() for path in sources) + (ROOT / "notebooks" / "compare_arms.ipynb").read_text()
    for name in set(re.findall(r"\b(?:PTYCHO_MLF|COMPARE)_[A-Z_]+", TEXT[page])):
        assert re.search(rf"\b{name}\b", code), name


def test_the_index_lists_every_page():
    links = set(re.findall(r"\]\(([^)#\s]+)\)", TEXT["docs/index.md"]))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= links
