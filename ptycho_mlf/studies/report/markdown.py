"""`summary.md`: the findings and tables of the page, for people who read it in the tracking UI."""

from __future__ import annotations

from .data import StudyData
from .estimates import Estimates
from .findings import findings
from .reproduce import report_command, run_command
from .tables import (
    Interval,
    Table,
    contrast_table,
    datasets_table,
    differences_table,
    gap_table,
    quality_table,
    rates_table,
    skill_contrast_table,
    stability_table,
    survival_table,
    threshold_table,
)

_MOST_ROWS = 40


def summary_markdown(data: StudyData, found: Estimates) -> str:
    """The whole file."""
    first, *rest = findings(data, found)
    parts = [f"**{first}**", *rest]
    for title, table in (
        ("Stability", stability_table(data, found.stability)),
        ("", contrast_table(found.contrasts)),
        ("Learning rates", threshold_table(found.rates)),
        ("", rates_table(found.stability, found.rates)),
        ("Steps to failure", survival_table(found.survival)),
        ("Quality, best weights", quality_table(found.quality, "best", found.mixed)),
        ("Quality, last weights", quality_table(found.quality, "last", found.mixed)),
        ("", skill_contrast_table(found.skill)),
        ("Best minus last", gap_table(found.quality)),
        ("What differs between the arms", differences_table(data)),
        ("Data", datasets_table(data)),
    ):
        if table is not None:
            parts += ([f"## {title}"] if title else []) + [_table(table), *([table.caption] if table.caption else [])]
    parts += ["## To repeat it", *_commands(data)]
    return "\n\n".join(parts) + "\n"


def _commands(data: StudyData) -> list[str]:
    lines = [f"{data.command}\n" if data.command else "", f"{report_command(data)}\n"]
    lines += [f"{run_command(data.of(arm)[0])}" for arm in data.arms]
    text = "The study, the report, and the first run of every arm; `report.html` has the command of every run."
    body = "\n".join(line for line in lines if line)
    return [text, f"```\n{body}\n```"]


def _table(table: Table) -> str:
    drawn = {at for row in table.rows for at, cell in enumerate(row) if isinstance(cell, Interval)}
    kept = [at for at in range(len(table.heads)) if at not in drawn]
    lines = [
        "| " + " | ".join(_cell(table.heads[at]) for at in kept) + " |",
        "|" + "|".join("---" if at in table.text else "---:" for at in kept) + "|",
    ]
    lines += ["| " + " | ".join(_cell(str(row[at])) for at in kept) + " |" for row in table.rows[:_MOST_ROWS]]
    if len(table.rows) > _MOST_ROWS:
        lines.append(f"| {len(table.rows) - _MOST_ROWS} more in report.html |" + " |" * (len(kept) - 1))
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
