"""Named arms as data: what an earlier study compared, as it was meant (clean) and as it ran (as_run)."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from ptycho_mlf.config import SECTIONS, ImpossibleGeometryError, InputError, RunConfig, parameters
from ptycho_mlf.config.knob import used_if
from ptycho_mlf.config.run import one_line
from ptycho_mlf.launch import user_path

Variant = Literal["clean", "as_run"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)


@dataclass(frozen=True)
class Arm:
    """One arm: a name and the flat parameters that differ from the defaults, or are worth writing down."""

    name: str
    """`phase8/sgd`; `phase8/sgd@as_run` as the earlier study ran it, so that both fit into one study."""
    settings: Mapping[str, Any]
    variant: Variant = "clean"
    description: str = ""
    evidence: str = ""
    """What is recorded about it, and what had to be inferred."""
    impossible: str = ""
    """Why it cannot exist at its own size; empty where it can. With overrides: `impossible_reason`."""

    @property
    def phase(self) -> str:
        """The part of the name before the slash."""
        return self.name.partition("/")[0]


class ArmEntry(BaseModel):
    """An arm in a file: its settings, and `as_run` what was in force instead."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: dict[str, Any]
    description: str = ""
    as_run: dict[str, Any] = {}
    evidence: str = ""


class ArmsFile(BaseModel):
    """A file of arms. `common` is under every arm, `as_run` over every arm as it ran."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arms: dict[str, ArmEntry]
    common: dict[str, Any] = {}
    as_run: dict[str, Any] = {}

    def arm(self, name: str, variant: Variant) -> Arm:
        """One of them, checked."""
        entry = self.arms[name]
        settings = {**self.common, **entry.settings}
        if variant == "as_run":
            settings = _surviving(settings, {**self.as_run, **entry.as_run})
            name = f"{name}@as_run"
        arm = Arm(name, settings, variant, entry.description, entry.evidence)
        return replace(arm, impossible=impossible_reason(arm))


def arms_of_the_package() -> ArmsFile:
    """The file `arms.json` of this package."""
    text = files("ptycho_mlf.studies").joinpath("arms.json").read_text(encoding="utf-8")
    return ArmsFile.model_validate(json.loads(text))


def list_arms(variant: Variant = "clean") -> list[Arm]:
    """The arms that come with the package."""
    return list(_built_in(variant).values())


def find_arms(names: str, variant: Variant = "clean") -> list[Arm]:
    """Arms by name, in the order named, each once.

    Args:
        names: separated by commas; a name, a pattern (`phase7/*`), `all`, or a JSON file of arms. `@clean` or
            `@as_run` after a name wins over `variant`.
        variant: as the earlier study meant them, or as it ran them.

    Raises:
        InputError: a name or pattern of no arm, a file that cannot be read, or an arm that is no valid configuration.
    """
    found: dict[str, Arm] = {}
    words = [word.strip() for word in names.split(",") if word.strip()]
    if not words:
        raise InputError(f"arms={names}: must name at least one arm of {', '.join(_built_in('clean'))}")
    for word in words:
        for arm in _matching(word, variant):
            if found.setdefault(arm.name, arm) != arm:
                raise InputError(f"arms={names}: two different arms are named {arm.name}")
    return list(found.values())


def arm_config(arm: Arm, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """The configuration of an arm; overrides win.

    A setting of the arm that nothing consumes under the overrides falls away with them: an arm of AdamW with
    `optimizer=sgd` has no beta1. An override that nothing consumes is an error as ever.

    Raises:
        ImpossibleGeometryError: a network that cannot exist at this size.
        InputError: an override, or a combination, that is not valid.
    """
    return RunConfig.from_flat(_surviving(arm.settings, overrides or {}))


def impossible_reason(arm: Arm, overrides: Mapping[str, Any] | None = None) -> str:
    """Why the network cannot exist at this size; empty where it can.

    Such a cell is recorded, never run, and no part of any crash probability.

    Raises:
        InputError: an override, or a combination, that is not valid for another reason.
    """
    try:
        arm_config(arm, overrides)
    except ImpossibleGeometryError as reason:
        return str(reason)
    return ""


def _surviving(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Settings and overrides, less those settings that the overrides leave without a meaning."""
    before, after = _parsed(settings), _parsed({**settings, **overrides})
    fallen = _idle(after) - _idle(before)
    if before["clip_algorithm"] != after["clip_algorithm"]:
        fallen.add("clip_value")  # A threshold is in the unit of its algorithm.
    return {name: value for name, value in settings.items() if name not in fallen} | dict(overrides)


def _idle(flat: Mapping[str, Any]) -> set[str]:
    """Parameters that nothing consumes."""
    idle = {name for _, name, field in parameters() if (rule := used_if(field)) and not rule.holds(flat)}
    if flat["max_hidden_channels"] >= flat["width"] * 2 ** (flat["fno_blocks"] - 1):
        idle.add("max_hidden_channels")  # A small network may have nothing to cap.
    return idle


def _parsed(values: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters in their types, defaults filled in, rules between them unchecked, unknown names left out."""
    flat: dict[str, Any] = {}
    for model in SECTIONS.values():
        try:
            own = model.model_validate({name: value for name, value in values.items() if name in model.model_fields})
        except ValidationError as error:
            raise InputError(one_line(error, model)) from None
        flat |= own.model_dump()
    return flat


@cache
def _built_in(variant: Variant) -> dict[str, Arm]:
    content = arms_of_the_package()
    return {name: content.arm(name, variant) for name in content.arms}


def _matching(word: str, variant: Variant) -> list[Arm]:
    if word.endswith(".json"):
        return _from_file(word, variant)
    pattern, at, own = word.partition("@")
    if at:
        if own not in VARIANTS:
            raise InputError(f"arms={word}: the variant after @ must be one of {', '.join(VARIANTS)}")
        variant = own
    known = _built_in(variant)
    if pattern == "all":
        return list(known.values())
    found = [arm for name, arm in known.items() if fnmatchcase(name, pattern)]
    if not found:
        close = difflib.get_close_matches(pattern, known, n=1, cutoff=0.3)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise InputError(f"arms={word}: no such arm; {hint}")
    return found


def _from_file(path: str, variant: Variant) -> list[Arm]:
    try:
        content = ArmsFile.model_validate(json.loads(user_path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"arms={path}: no readable file ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"arms={path}: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from None
    except ValueError as error:
        raise InputError(f"arms={path}: no JSON text ({error})") from None
    if not content.arms:
        raise InputError(f"arms={path}: holds no arm")
    found: list[Arm] = []
    for name, entry in content.arms.items():
        if not name or set(name) & set(",@*?[]"):
            raise InputError(f"arms={path}: {name}: the name of an arm must not be empty or hold any of , @ * ? [ ]")
        if variant == "as_run" and not (content.as_run or entry.as_run):
            raise InputError(f"arms={path}: {name}: there is no as_run for it; add one, or take variant=clean")
        try:
            found.append(content.arm(name, variant))
        except InputError as error:
            raise InputError(f"arms={path}: {name}: {error}") from None
    return found
