"""The page of the named arms: `python -m ptycho_mlf.studies.arms_reference > docs/arms.md`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptycho_mlf.config.describe import default_text

from .arms import Arm, arms_of_the_package, list_arms

_HEAD = """\
# Named arms

Written by `python -m ptycho_mlf.studies.arms_reference > docs/arms.md`; a test holds it against the data,
`ptycho_mlf/studies/arms.json`.

An earlier study of these networks compared the arms below. Each is known here in two variants:

- `clean`: as it was meant. Every setting is in force, and all arms share one data set, the standard one of this
  package with phase, so that they can be ranked. What the earlier study says of its data differs from arm to arm and
  was not in force; `set_phi=false`, `nimgs_train=2` and `nimgs_test=2` give all arms the data it did use.
- `as_run`: as that study ran it, as far as the evidence goes, with its confounds as switches. Turn one off by naming
  its clean value.

`stage_a/control` is the variant that the study asks for; `stage_a/control@clean` and `stage_a/control@as_run` put both
into one study. Several names are separated by commas, `phase7/*` is a pattern, `all` are all of them. Any parameter
overrides all arms. A setting of an arm that an override leaves unused falls away: `optimizer=sgd` on an arm of AdamW
takes no beta1, another `clip_algorithm` no threshold of the first. An override that nothing uses is an error.

A network that cannot exist at its size is recorded as impossible, with the reason; it is not run and counts in no crash
probability.
"""

_MIDDLE = """\

## Common to all

Below every arm: {common}.

Over every arm as run: {switches}.

Not to be repeated exactly: the earlier study's measured probe is not part of this package, so `probe` is the zone plate
unless you name a file; its photon noise had no seed, here `noise_seed` is fixed. Warm-up `auto` is its 5 of 20 epochs,
and works with any number. Its schedules were meant to move once an epoch, and so do these.

## Arms
"""

_TAIL = """\

## Arms of your own

A JSON file in the place of a name stands for all arms in it:

```json
{
  "common": {"N": 32, "width": 16, "modes": 8, "fno_blocks": 3},
  "arms": {
    "mine/adam": {"description": "The usual.", "settings": {"optimizer": "adam", "learning_rate": 1e-3}},
    "mine/sgd": {"settings": {"optimizer": "sgd", "learning_rate": 3e-2}}
  }
}
```

`common` is optional and lies under every arm, as the defaults of this package do. `as_run`, beside `common` or beside
the `settings` of an arm, holds what its variant `as_run` changes.
"""


def arms_text() -> str:
    """The whole page."""
    content = arms_of_the_package()
    middle = _MIDDLE.format(common=_shown(content.common), switches=_shown(content.as_run))
    return f"{_HEAD}{middle}\n{arms_table()}{_TAIL}"


def arms_table() -> str:
    """A Markdown table: what an arm sets beyond what all arms do, what ran instead, and what is known about it."""
    entries = arms_of_the_package().arms
    lines = ["| arm | what | settings | as run | evidence |", "|---|---|---|---|---|"]
    for arm in list_arms():
        entry = entries[arm.name]
        impossible = f" Impossible: {arm.impossible}." if arm.impossible else ""
        evidence = arm.evidence + impossible
        cells = (f"`{arm.name}`", arm.description, _shown(entry.settings), _shown(entry.as_run), evidence)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def arms_help() -> str:
    """Names and what they are, a line each, for `--help`."""
    arms = list_arms()
    width = max(len(arm.name) for arm in arms)
    return "\n".join(f"{arm.name:{width}}  {_short(arm)}" for arm in arms)


def _short(arm: Arm) -> str:
    return arm.description + (" Impossible at its own size." if arm.impossible else "")


def _shown(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}={default_text(value)}`" for name, value in settings.items())


if __name__ == "__main__":
    print(arms_text(), end="")
