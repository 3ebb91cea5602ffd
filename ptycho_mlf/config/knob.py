"""How a parameter is declared: default, unit, help, range, and the settings under which it is consumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class UsedIf:
    """A condition on the other settings under which a knob is consumed, with its wording for messages and docs."""

    text: str
    holds: Callable[[Settings], bool]

    def __or__(self, other: UsedIf) -> UsedIf:
        return UsedIf(f"{self.text} or {other.text}", lambda c: self.holds(c) or other.holds(c))


def when(**choices: object) -> UsedIf:
    """A condition `name=value` or `name=(values)`; several names must all hold."""
    allowed = {name: value if isinstance(value, tuple) else (value,) for name, value in choices.items()}
    text = " and ".join(f"{name}={'|'.join(_text(v) for v in values)}" for name, values in allowed.items())
    return UsedIf(text, lambda c: all(c[name] in values for name, values in allowed.items()))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def knob(
    default: Any,
    help: str,
    *,
    unit: str = "",
    used_if: UsedIf | None = None,
    execution_only: bool = False,
    replication: bool = False,
    **constraints: Any,
) -> Any:
    """Declare one parameter.

    Args:
        default: its default; also the MLproject default.
        help: one sentence for `--help` and the reference table.
        unit: its unit, empty when dimensionless.
        used_if: the settings under which it is consumed; None means always.
        execution_only: it decides how, not what is computed, so it stays out of the fingerprint.
        replication: it exists to repeat a confound of the earlier study.
        constraints: pydantic bounds (`ge`, `gt`, `le`, `lt`, `multiple_of`).
    """
    extra: dict[str, Any] = {"unit": unit, "execution_only": execution_only, "replication": replication}
    field: Any = Field(default, description=help, json_schema_extra=extra, **constraints)
    field.metadata.append(_Declared(used_if))
    return field


@dataclass(frozen=True)
class _Declared:
    used_if: UsedIf | None


def used_if(field: FieldInfo) -> UsedIf | None:
    """The condition declared with the knob, or None when it is always consumed."""
    return next((m.used_if for m in field.metadata if isinstance(m, _Declared)), None)


def trait(field: FieldInfo, name: str) -> Any:
    """A declared trait of a knob: `unit`, `execution_only` or `replication`."""
    extra = field.json_schema_extra
    if not isinstance(extra, dict):
        raise TypeError("parameters are declared with knob()")
    return extra[name]


class Section(BaseModel):
    """A frozen group of parameters. Unknown names, non-finite numbers and wrong defaults are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
