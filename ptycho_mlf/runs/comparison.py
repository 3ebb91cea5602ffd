"""The table of runs: who learned what, and which is better, if they saw the same data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import Console

from ptycho_mlf.telemetry.verdict_names import SURVIVORS
from ptycho_mlf.tracking.queries import RunSummary, find_runs
from ptycho_mlf.tracking.reaper import reap

COLUMNS: Mapping[str, tuple[str, str]] = {
    "val_best": ("val\nbest", "val/loss_best"),
    "val_last": ("val\nlast", "val/loss_last"),
    "skill_best": ("skill\nbest", "val/skill_best"),
    "skill_last": ("skill\nlast", "val/skill_last"),
    "ssim_amp_best": ("SSIM amp\nbest", "test/best/ssim_amp"),
    "ssim_amp_last": ("SSIM amp\nlast", "test/last/ssim_amp"),
    "ssim_phase_best": ("SSIM phase\nbest", "test/best/ssim_phase"),
    "grad_norm_median": ("grad norm\nmedian", "grad_norm/run_median"),
    "grad_norm_p99": ("grad norm\np99", "grad_norm/run_p99"),
}
"""Field to (heading, metric in the store)."""
_TABLE_WIDTH = 160


@dataclass(frozen=True)
class Row:
    """One run of the table."""

    rank: int | None
    """1 = best validation skill among runs that survived; None where runs are not ranked, or this one did not."""
    run_id: str
    name: str
    arm: str
    seed: str
    status: str
    verdict: str | None
    dataset_hash: str
    values: dict[str, float | None]


@dataclass(frozen=True)
class Comparison:
    """All rows, and why they are not ranked, if they are not."""

    rows: list[Row]
    unranked: str | None

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"ranked": self.unranked is None, "reason": self.unranked, "runs": [asdict(row) for row in self.rows]}


def compare(
    experiment: str | None = None, run_ids: Sequence[str] | None = None, parent: str | None = None
) -> Comparison:
    """Compare runs of the connected store; runs whose process died are ended first.

    Raises:
        InputError: no such experiment or run.
    """
    runs = find_runs(experiment, run_ids, parent)
    reaped = set(reap(sorted({run.experiment_id for run in runs})))
    if reaped:
        runs = find_runs(experiment, run_ids, parent)
    return comparison(runs)


def comparison(runs: Sequence[RunSummary]) -> Comparison:
    """Rank by the best validation skill, if all runs saw the same data; test metrics never decide."""
    rows = [_row(run) for run in runs]
    hashes = dict.fromkeys(row.dataset_hash for row in rows)
    if len(hashes) > 1:
        text = f"not ranked: these runs saw different data (dataset hashes {', '.join(hashes)})"
        return Comparison(rows, text)
    rows.sort(key=_merit)
    ranked = [replace(row, rank=place) if _survived(row) else row for place, row in enumerate(rows, start=1)]
    return Comparison(ranked, None)


def print_comparison(found: Comparison, console: Console) -> None:
    """Print the table; the reason for no ranking comes first."""
    if not found.rows:
        console.print("No runs of ptycho_mlf here yet; start one with `mlflow run . -e stage_a`.")
        return
    if found.unranked:
        console.print(found.unranked, style="bold", soft_wrap=True)
    numbers = [heading for heading, _ in COLUMNS.values()]
    columns = [[heading] for heading in ("#", "arm", "seed", "verdict", *numbers, "data", "run")]
    for row in found.rows:
        place = "" if row.rank is None else str(row.rank)
        cells = [place, row.arm, row.seed, row.verdict or row.status.lower()]
        cells += [*(_text(row.values[field]) for field in COLUMNS), row.dataset_hash[:6], row.run_id[:8]]
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell)
    first, second, *lines = _lines(columns, {"#", *numbers})
    console.print(f"{first}\n{second}", style="bold", markup=False, highlight=False, soft_wrap=True)
    console.out("\n".join(lines), highlight=False)


def _lines(columns: Sequence[Sequence[str]], right: Set[str]) -> list[str]:
    """Columns of a heading of one or two lines, and cells, side by side; by hand, since hundreds of rows take rich's
    tables half a second.
    """
    aligned: list[list[str]] = []
    for heading, *cells in columns:
        top, _, bottom = heading.rpartition("\n")
        texts = [top, bottom, *cells]
        width = max(map(len, texts))
        aligned.append([text.rjust(width) if heading in right else text.ljust(width) for text in texts])
    return ["  ".join(line).rstrip() for line in zip(*aligned, strict=True)]


def table_console() -> Console:
    """Wide enough for the whole table: a narrow terminal folds its lines, and nothing is cut."""
    return Console(width=max(Console().width, _TABLE_WIDTH))


def _row(run: RunSummary) -> Row:
    return Row(
        rank=None,
        run_id=run.run_id,
        name=run.name,
        arm=run.tags.get("arm", ""),
        seed=run.tags.get("seed", ""),
        status=run.status,
        verdict=run.tags.get("verdict"),
        dataset_hash=run.tags.get("dataset_hash", ""),
        values={field: run.metrics.get(metric) for field, (_, metric) in COLUMNS.items()},
    )


def _survived(row: Row) -> bool:
    return row.verdict in SURVIVORS and row.values["skill_best"] is not None


def _merit(row: Row) -> tuple[bool, float]:
    return (not _survived(row), -(row.values["skill_best"] or 0.0))


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
