"""A parameter in words: its type, range and condition, for `--help`, MLproject and the reference table."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal

import annotated_types
from pydantic.fields import FieldInfo

from .knob import trait, used_if


def default_text(value: object) -> str:
    """A value as it is written on a command line, to the last digit."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


def type_text(annotation: Any) -> str:
    """`adam|adamw|sgd`, `auto|INTEGER`, `FLOAT`, ..."""
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return "|".join(str(choice) for choice in typing.get_args(annotation))
    if origin is typing.Annotated:
        return type_text(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return "|".join(type_text(part) for part in typing.get_args(annotation))
    return {bool: "true|false", int: "INTEGER", float: "FLOAT", str: "TEXT"}[annotation]


def range_text(field: FieldInfo) -> str:
    """`>= 1, <= 64`, or empty."""
    signs = {
        annotated_types.Ge: (">=", "ge"),
        annotated_types.Gt: (">", "gt"),
        annotated_types.Le: ("<=", "le"),
        annotated_types.Lt: ("<", "lt"),
        annotated_types.MultipleOf: ("multiple of", "multiple_of"),
    }
    parts: list[str] = []
    for bound in field.metadata:
        for kind, (sign, attribute) in signs.items():
            if isinstance(bound, kind):
                parts.append(f"{sign} {getattr(bound, attribute):g}")
    return ", ".join(parts)


def details(field: FieldInfo) -> list[str]:
    """Unit, range and condition, each where there is one."""
    condition = used_if(field)
    parts = [trait(field, "unit"), range_text(field), f"needs {condition.text}" if condition else ""]
    return [part for part in parts if part]
