"""`RunConfig`: everything one training needs, from flat names and text values to a fingerprint."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from ptycho_mlf.launch import user_path

from .data import BUILT_IN_PROBES, DataConfig
from .errors import InputError
from .execution import ExecutionConfig
from .knob import Section, trait, used_if
from .model import ModelConfig
from .replication import ReplicationConfig
from .telemetry import TelemetryConfig
from .training import TrainingConfig

SECTIONS: dict[str, type[Section]] = {
    "data": DataConfig,
    "model": ModelConfig,
    "training": TrainingConfig,
    "telemetry": TelemetryConfig,
    "replication": ReplicationConfig,
    "execution": ExecutionConfig,
}


def parameters() -> Iterator[tuple[str, str, FieldInfo]]:
    """Every declared parameter as (section, name, field), in the order of declaration. Names are unique."""
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            yield section, name, field


class RunConfig(BaseModel):
    """One training. Build it with `from_flat`, which checks every rule; sections are read as attributes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    replication: ReplicationConfig = ReplicationConfig()
    execution: ExecutionConfig = ExecutionConfig()

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> Self:
        """Build from flat names and values (text is parsed), defaults filled in.

        Raises:
            InputError: an unknown name, a value out of range, a knob that nothing consumes, or a broken rule.
        """
        config = cls.unchecked(values)
        config._check()
        return config

    @classmethod
    def unchecked(cls, values: Mapping[str, Any]) -> Self:
        """The same without the rules between values: where some of them are still to be found out.

        Raises:
            InputError: an unknown name or a value out of range.
        """
        section_of = {name: section for section, name, _ in parameters()}
        unknown = [name for name in values if name not in section_of]
        if unknown:
            close = difflib.get_close_matches(unknown[0], section_of, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InputError(f"{unknown[0]}={values[unknown[0]]}: no such parameter{hint}")
        parts: dict[str, Section] = {}
        for section, model in SECTIONS.items():
            own = {name: value for name, value in values.items() if section_of[name] == section}
            try:
                parts[section] = model.model_validate(own)
            except ValidationError as error:
                raise InputError(one_line(error, model)) from None
        return cls.model_validate(parts)

    def with_changes(self, **changes: Any) -> Self:
        """A copy with some flat parameters changed, checked like any other."""
        return self.from_flat({**self.flat(), **changes})

    def flat(self) -> dict[str, Any]:
        """All parameters by their flat names."""
        return {name: value for section in SECTIONS for name, value in getattr(self, section).model_dump().items()}

    def fingerprint(self) -> str:
        """16 hex digits that change with every parameter that decides what is computed.

        A probe file counts by its content. Parameters that nothing consumes are at their defaults by rule.
        """
        decisive = self.flat()
        for _, name, field in parameters():
            if trait(field, "execution_only"):
                del decisive[name]
        if self.data.probe not in BUILT_IN_PROBES:
            decisive["probe"] = f"sha256:{probe_digest(self.data.probe)}"
        text = json.dumps(decisive, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _check(self) -> None:
        flat = self.flat()
        for _, name, field in parameters():
            condition = used_if(field)
            if condition and flat[name] != field.default and not condition.holds(flat):
                raise InputError(f"{name}={_shown(flat[name])}: nothing uses it here; it needs {condition.text}")
        self.data.check(self.replication.val_source)
        self.model.check(self.data.N, self.data.channels)
        self.training.check()


def probe_digest(path: str) -> str:
    """SHA-256 of a probe file.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return hashlib.sha256(user_path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"probe={path}: not a built-in probe, and no readable file ({error.strerror})") from None


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def one_line(error: ValidationError, model: type[Section]) -> str:
    """What is wrong with the first of the refused values, naming it and the rule."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    message = first["msg"][0].lower() + first["msg"][1:]
    if "auto" in str(model.model_fields[name].default) or name == "geometry_seed":
        message = f"must be {model.model_fields[name].default} or a whole number >= 0"
    more = len({e["loc"][0] for e in error.errors()}) - 1
    return f"{name}={first['input']}: {message}" + (f" (and {more} more)" if more else "")
