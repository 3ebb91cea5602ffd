"""What a sweep says in the end: one interactive page, its numbers as JSON, and a few lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io
from optuna.trial import FrozenTrial
from plotly.offline import get_plotlyjs

from ptycho_mlf.telemetry.html_page import page, pairs, paragraph, section, table

from ..plan import StudyPlan
from .figures import history_figure, importance_figure, parallel_figure, slice_figure
from .grammar import Space, parse_space
from .importance import FEWEST, importances
from .objective import Objective, best_point
from .points import FATES, Point, command_of, points_of, settings_of, shown
from .sweep_plan import SEEDS_PER_POINT

PAGE, NUMBERS = "sweep.html", "sweep.json"
_NAMES: Mapping[Objective, str] = {"skill": "validation skill", "val_loss": "validation loss"}
_SHOWN = 10
"""Points in the table of the best."""


class SweepResult:
    """The ended trials of a sweep, read once."""

    def __init__(self, plan: StudyPlan, trials: Sequence[FrozenTrial]) -> None:
        """Read the trials.

        Args:
            plan: of the sweep.
            trials: those with a result.
        """
        self.space: Space = parse_space(plan.space)
        self.objective: Objective = plan.settings["objective"]
        self.points = points_of(trials, self.objective)
        self.importances = importances(trials)
        best = best_point(trials)
        self.best = None if best is None else next(p for p in self.points if p.number == best.number)
        self.seeds: int = plan.settings[SEEDS_PER_POINT]

    def lines(self) -> list[str]:
        """The result in a few lines: what is best, the command for it, what became of all points."""
        if self.best is None or self.best.value is None:
            return ["No point ended healthy with every seed: there is nothing to recommend.", self._counts()]
        repeated = f"mean of {self.seeds} seeds" if self.seeds > 1 else "one seed"
        varied = self.space.data_ranges()
        caution = f"Points saw different data ({', '.join(varied)}): each skill is relative to its own constant object."
        return [caution] * bool(varied) + [
            f"Best: {self.best.text()} ({_NAMES[self.objective]} {self.best.value:.4g}, {repeated}, "
            f"trial {self.best.number})",
            f"Train it and keep everything: {command_of(self.best.params, self.space)}",
            self._counts(),
        ]

    def as_json(self) -> dict[str, Any]:
        """The same as numbers."""
        best = None
        if self.best is not None:
            best = {
                "trial": self.best.number,
                "value": self.best.value,
                "settings": settings_of(self.best.params, self.space),
                "run_ids": list(self.best.run_ids),
                "command": command_of(self.best.params, self.space),
            }
        points = [
            {
                "trial": point.number,
                "params": dict(point.params),
                "value": point.value,
                "fate": point.fate,
                "verdicts": list(point.verdicts),
                "run_ids": list(point.run_ids),
            }
            for point in self.points
        ]
        return {
            "objective": self.objective,
            "seeds": self.seeds,
            "space": self.space.texts(),
            "best": best,
            "counts": dict(Counter(point.fate for point in self.points)),
            "importances": self.importances,
            "points": points,
        }

    def write(self, folder: Path, study: str) -> None:
        """Write `sweep.html` and `sweep.json` into a folder."""
        (folder / PAGE).write_text(self.html(study), encoding="utf-8")
        text = json.dumps(self.as_json(), indent=1, allow_nan=False)
        (folder / NUMBERS).write_text(text + "\n", encoding="utf-8")

    def html(self, study: str) -> str:
        """The page; plotly.js comes along once, and nothing is loaded from anywhere."""
        parts = [
            paragraph(line, "fine" if self.best else "found") if k == 0 else paragraph(line)
            for k, line in enumerate(self.lines())
        ]
        searched = {name: found.text() for name, found in self.space.ranges.items()}
        parts.append(section("What was searched", pairs(searched)))
        if self.space.fixed:
            fixed = {name: shown(value) for name, value in self.space.fixed.items()}
            parts.append(section("The same for all points", pairs(fixed)))
        valued = [point for point in self.points if point.value is not None]
        if valued:
            parts += self._figures(valued)
        parts.append(section("What became of the points", pairs(self._fates())))
        return page(f"Sweep {study}", parts)

    def _figures(self, valued: Sequence[Point]) -> list[str]:
        name, ranges = _NAMES[self.objective], self.space.ranges
        history = history_figure(valued, name, self.objective == "skill")
        parts = [
            f"<script>{get_plotlyjs()}</script>",
            section("History", _chart(history, 560)),
            section(f"The best {_SHOWN}" if len(valued) > _SHOWN else "The points", self._table()),
        ]
        note = f"{FEWEST} points with a final value and with different ones are needed to tell importances."
        if self.importances:
            note = "How differently the best points and all of them are spread over each parameter (PED-ANOVA)."
        bars = [_chart(importance_figure(self.importances), 420)] if self.importances else []
        parts.append(section("Importance", paragraph(note, "note"), *bars))
        drag = paragraph("Drag along an axis to keep only the lines through that part.", "note")
        parts.append(section("Parallel coordinates", drag, _chart(parallel_figure(valued, ranges, name), 860)))
        parts.append(section("Slices", _chart(slice_figure(valued, ranges, name), 700)))
        return parts

    def _table(self) -> str:
        names = list(self.space.ranges)
        sign = -1.0 if self.objective == "skill" else 1.0
        valued = [point for point in self.points if point.value is not None]
        ranked = sorted(valued, key=lambda point: (point.fate != "healthy", sign * (point.value or 0.0)))
        rows = [
            [point.number, point.value, point.fate, *(_cell(point.params.get(name)) for name in names)]
            for point in ranked[:_SHOWN]
        ]
        return table(["trial", _NAMES[self.objective], "fate", *names], rows)

    def _counts(self) -> str:
        counts = Counter(point.fate for point in self.points)
        return f"{len(self.points)} points: " + ", ".join(f"{counts[fate]} {fate}" for fate in FATES if counts[fate])

    def _fates(self) -> dict[str, str]:
        counts = Counter(point.fate for point in self.points)
        return {f"{fate} ({counts[fate]})": meaning for fate, meaning in FATES.items() if counts[fate]}


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _chart(figure: go.Figure, width: int = 0) -> str:
    """A figure as HTML; on a screen narrower than `width` px it is scrolled."""
    config = {"displayModeBar": False, "responsive": True}
    text = plotly.io.to_html(figure, full_html=False, include_plotlyjs=False, config=config)
    return f'<div class="wide"><div style="min-width:{width}px">{text}</div></div>'
