"""`report.html`: one file with everything inside, and a policy by which the browser refuses any request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files

from ptycho_mlf.telemetry.verdict_names import CRASHES, SURVIVORS

from .data import StudyData
from .estimates import Estimates
from .figures_outcome import gap_figure, quality_figures, survival_figure
from .figures_rate import crash_figure, loss_figure
from .figures_training import training_figures
from .findings import findings
from .gallery import galleries
from .parts import command_box, html_table, key, section
from .plot import Figure
from .reproduce import report_command, run_command
from .runs_table import runs_table
from .tables import (
    VERDICTS,
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
from .texts import plural

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_PACKAGE = "ptycho_mlf.studies.report"
_MOST_COMMANDS = 12
_TERMS = {
    "crashed": f"verdict {', '.join(name for name in VERDICTS if name in CRASHES)}",
    "survived": f"verdict {' or '.join(name for name in VERDICTS if name in SURVIVORS)}",
    "stagnated": "never learned; counted apart, neither crashed nor survived",
    "onset": "first step after which the state that the verdict names held until the end",
    "skill": "1 − validation loss / floor: 0 is the best constant object, 1 a perfect prediction",
    "floor": "validation loss of the best constant object for the same patterns",
    "best, last": "weights at the lowest validation loss; weights after the final step",
}


@dataclass(frozen=True)
class _Part:
    """A section that has figures and tables; without any it is left out."""

    title: str
    figures: Sequence[Figure | None]
    tables: Sequence[Table | None]


def report_html(data: StudyData, found: Estimates) -> str:
    """The whole page."""
    parts = [
        _Part(
            "Stability",
            [],
            [stability_table(data, found.stability), contrast_table(found.contrasts)],
        ),
        _Part(
            "Learning rates",
            [crash_figure(data, found.stability, found.rates), loss_figure(data, found.rates)],
            [threshold_table(found.rates), rates_table(found.stability, found.rates)],
        ),
        _Part("Training", training_figures(data), []),
        _Part("Time to failure", [survival_figure(data, found.survival)], [survival_table(found.survival)]),
        _Part(
            "Final quality",
            quality_figures(data, found.quality),
            [
                quality_table(found.quality, "best", found.mixed),
                quality_table(found.quality, "last", found.mixed),
                skill_contrast_table(found.skill),
            ],
        ),
        _Part("Best and last weights", [gap_figure(data)], [gap_table(found.quality)]),
    ]
    figures = [figure for part in parts for figure in part.figures if figure is not None]
    numbers = {figure.name: number for number, figure in enumerate(figures, start=1)}
    body = [
        *_head(data, found),
        *(_section(part, numbers) for part in parts),
        section("Reconstructions", *galleries(data)),
        section("What differs between the arms", *_differences(data)),
        section("Runs", runs_table(data)),
        section("To repeat it", *_repeat(data)),
        section("Terms", _terms()),
    ]
    return document(data.name, body, figures)


def _head(data: StudyData, found: Estimates) -> list[str]:
    about = [data.kind] if data.kind else []
    about += [plural(len(data.members), "run"), plural(len(data.arms), "arm"), data.made_at]
    about += [f"parent run {data.parent}"] if data.parent else []
    sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in findings(data, found))
    chips = "".join(
        f'<button type="button" data-arm="{index}" aria-pressed="true">{key(index)}{escape(arm)}</button>'
        for index, arm in enumerate(data.arms)
    )
    return [
        f"<h1>{escape(data.name)}</h1>",
        f'<p class="about">{escape(" · ".join(about))}</p>',
        f'<div class="found{"" if data.comparable else " refused"}">{sentences}</div>',
        "<noscript><p>Charts and sorting need JavaScript; findings and tables do not.</p></noscript>",
        f'<nav class="arms" aria-label="Arms: click to hide or show">{chips}</nav>',
    ]


def _section(part: _Part, numbers: dict[str, int]) -> str:
    drawn = "".join(_figure(figure, numbers[figure.name]) for figure in part.figures if figure is not None)
    grid = f'<div class="figures">{drawn}</div>' if drawn else ""
    return section(part.title, grid, *(html_table(table) for table in part.tables if table is not None))


def _figure(figure: Figure, number: int) -> str:
    """HTML that the page's script draws into."""
    buttons = "".join(f'<button type="button">{escape(view)}</button>' for view in figure.views)
    views = f'<div class="views" data-figure="{figure.name}">{buttons}</div>' if buttons else ""
    caption = f'<figcaption class="caption"><b>Figure {number}.</b> {escape(figure.caption)}</figcaption>'
    plot = f'<div class="plot" id="{figure.name}" style="height:{figure.height}px"></div>'
    return f"<figure><h3>{escape(figure.title)}</h3>{views}{plot}{caption}</figure>"


def _differences(data: StudyData) -> list[str]:
    table = differences_table(data)
    first = "<p>Nothing but the seed.</p>" if table is None else html_table(table)
    return [first, html_table(datasets_table(data))]


def _repeat(data: StudyData) -> list[str]:
    parts = ["<p>The study:</p>", command_box(data.command)] if data.command else []
    parts += ["<p>This report with all of its numbers, from the runs:</p>", command_box(report_command(data))]
    text = "One run of every arm; the table of runs has the command of each. Device and threads are left out."
    commands = "\n".join(run_command(data.of(arm)[0]) for arm in data.arms[:_MOST_COMMANDS])
    return [*parts, f"<p>{text}</p>", command_box(commands)]


def _terms() -> str:
    terms = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in _TERMS.items())
    return f"<dl>{terms}</dl>"


def document(title: str, body: Sequence[str], figures: Sequence[Figure]) -> str:
    """The file: style, body, figures for the script, plotly.js, the script."""
    from plotly.offline import get_plotlyjs

    # Inside a script element nothing may look like its end.
    specifications = json.dumps([figure.as_json() for figure in figures], allow_nan=False).replace("<", "\\u003c")
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(title)}</title><style>{_resource('report.css')}</style>",
    ]
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head>{"".join(head)}</head><body>',
            *body,
            f'<script type="application/json" id="figures">{specifications}</script>',
            f"<script>{get_plotlyjs()}</script>",
            f"<script>{_resource('report.js')}</script>",
            "</body></html>\n",
        ]
    )


@cache
def _resource(name: str) -> str:
    return files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")
