"""Commands that repeat a run, a study and a report, and the parameters in which arms differ."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import cache

from ptycho_mlf.config import parameters
from ptycho_mlf.config.knob import trait
from ptycho_mlf.tracking.parameters import as_text, same_value

from .data import Member, StudyData

RATE = "learning_rate"
_SEED = "seed"


def run_command(member: Member) -> str:
    """The command that trains exactly this: parameters at their defaults, and those that say only where, left out."""
    words = ["python", "-m", "entrypoints.stage_a"]
    for name, default in _declared().items():
        text = member.params.get(name)
        if text is not None and not same_value(text, default):
            words += [f"--{name}", _plain(text)]
    return shlex.join(words)


def report_command(data: StudyData) -> str:
    """The command that writes this report again."""
    if data.parent:
        return f"python -m entrypoints.report --parent {data.parent}"
    return f"python -m entrypoints.report --runs {','.join(member.run_id for member in data.members)}"


def differing_parameters(data: StudyData) -> dict[str, dict[str, str]]:
    """Parameter to arm to value, for those parameters that are not the same in all runs; the seed is left out.

    Several values within an arm are given as their number and range.
    """
    found: dict[str, dict[str, str]] = {}
    for name in _declared():
        values = {arm: _values(data.of(arm), name) for arm in data.arms}
        if name != _SEED and len(_distinct([value for own in values.values() for value in own])) > 1:
            found[name] = {arm: _summary(_distinct(own)) for arm, own in values.items()}
    return found


def varying(members: Sequence[Member]) -> tuple[str, ...]:
    """Parameters that are not the same in all of these runs; the seed is left out. None: they are one cell."""
    return tuple(name for name in _declared() if name != _SEED and len(_distinct(_values(members, name))) > 1)


def _values(members: Sequence[Member], name: str) -> list[str]:
    """A parameter as text, each once.

    A run that was recorded before the parameter was declared had its default; one that ended before it could record any
    says nothing.
    """
    default = as_text(_declared()[name])
    return list(dict.fromkeys(member.params.get(name, default) for member in members if member.params))


def _distinct(values: Sequence[str]) -> list[str]:
    """Each meaning once: 3e-4 is 0.0003."""
    return list({_canonical(value): value for value in values}.values())


def _canonical(text: str) -> str:
    plain = _plain(text)
    try:
        return repr(float(plain))
    except ValueError:
        return plain.lower()


def _summary(values: Sequence[str]) -> str:
    plain = [_plain(value) for value in values]
    if len(plain) <= 3:
        return ", ".join(plain)
    try:
        ordered = sorted(plain, key=float)
    except ValueError:
        return f"{len(plain)} values"
    return f"{_short(ordered[0])} to {_short(ordered[-1])} ({len(plain)} values)"


def _short(number: str) -> str:
    """As it was given, unless a search gave it: those have all digits."""
    return number if len(number) <= 8 else f"{float(number):.4g}"


def _plain(text: str) -> str:
    """`mlflow run` stores a text that is empty or holds spaces in quotes."""
    try:
        words = shlex.split(text)
    except ValueError:
        return text
    return words[0] if len(words) == 1 else text


@cache
def _declared() -> dict[str, object]:
    """Defaults of all parameters that decide what is computed."""
    return {name: field.default for _, name, field in parameters() if not trait(field, "execution_only")}
