"""The table of all runs: the page's script sorts it, chooses from it, and shows the command of a row."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .data import Member, StudyData
from .parts import key, table_box
from .reproduce import run_command
from .texts import short

_COLUMNS: Sequence[tuple[str, str]] = (
    ("skill best", "val/skill_best"),
    ("skill last", "val/skill_last"),
    ("SSIM amp", "test/best/ssim_amp"),
    ("SSIM phase", "test/best/ssim_phase"),
    ("grad norm max", "grad_norm/run_max"),
)
_WORDS = {"arm", "verdict", "run"}
_CAPTION = (
    "A click on a heading sorts, a click on a run shows the command that repeats it. A star has a note under the "
    "pointer. SSIM is of the best weights, on the test object."
)


def runs_table(data: StudyData) -> str:
    """HTML of the table and its tools."""
    heads = ["arm", "seed", "lr", "verdict", "steps", "onset", *(head for head, _ in _COLUMNS), "run"]
    kinds = [' class="text"' if text in _WORDS else "" for text in heads]
    head = "".join(f'<th aria-sort="none"{kind}>{escape(text)}</th>' for text, kind in zip(heads, kinds, strict=True))
    index = {arm: at for at, arm in enumerate(data.arms)}
    rows = "".join(_row(member, index[member.arm]) for member in data.members)
    table = table_box(head, rows, len(data.members), "runs")
    return f'{_tools(data)}{table}<p class="caption">{_CAPTION}</p><dialog></dialog>'


def _tools(data: StudyData) -> str:
    arms = "".join(f'<option value="{index}">{escape(arm)}</option>' for index, arm in enumerate(data.arms))
    verdicts = "".join(f"<option>{escape(fate)}</option>" for fate in sorted({_fate(m) for m in data.members}))
    return (
        '<div class="tools">'
        f'<select id="of-arm" aria-label="Arm"><option value="">all arms</option>{arms}</select>'
        f'<select id="of-verdict" aria-label="Verdict"><option value="">all verdicts</option>{verdicts}</select>'
        '<input id="find" type="search" placeholder="find" aria-label="Find"><span id="count"></span></div>'
    )


def _fate(member: Member) -> str:
    """The verdict; of a run without one, its status."""
    return "pruned" if member.outcome == "pruned" else member.verdict or member.status.lower()


def _row(member: Member, index: int) -> str:
    crashed = " crashed" if member.outcome == "crashed" else ""
    fate = _fate(member)
    notes = [*(["stopped early"] if member.stopped_early else []), *([member.reason] if member.reason else [])]
    notes += [f"no {name}" for name in member.missing]
    note = f' title="{escape("; ".join(notes))}"' if notes else ""
    plain = [
        f'<td class="text">{key(index)} {escape(member.arm)}</td>',
        f"<td>{escape(member.seed)}</td>",
        f"<td>{short(member.learning_rate, 4)}</td>",
        f'<td class="text{crashed}"{note}>{escape(fate)}{"*" if notes else ""}</td>',
        f"<td>{'' if member.steps is None else member.steps}</td>",
        f"<td>{'' if member.onset_step is None else member.onset_step}</td>",
    ]
    numbers = [member.metrics.get(metric) for _, metric in _COLUMNS]
    plain += [f'<td data-value="{"" if v is None else f"{v:.6g}"}">{short(v)}</td>' for v in numbers]
    run = f'<td class="text"><button type="button"><code>{escape(member.run_id[:8])}</code></button></td>'
    attributes = {
        "arm": str(index),
        "verdict": fate,
        "run": f"run {member.run_id}, seed {member.seed}",
        "command": run_command(member),
    }
    named = " ".join(f'data-{name}="{escape(text)}"' for name, text in attributes.items())
    return f"<tr {named}>{''.join(plain)}{run}</tr>"
