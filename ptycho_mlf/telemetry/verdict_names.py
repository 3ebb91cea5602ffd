"""The verdicts by name, and which of them count as crashed or as survived. Needs nothing: tables read it too."""

from __future__ import annotations

from typing import Literal

VerdictName = Literal[
    "oom",
    "nonfinite",
    "diverged",
    "saturated_head",
    "flat_amplitude",
    "input_independent",
    "flat_phase",
    "lost",
    "dead_layer",
    "stagnated",
    "spike",
    "healthy",
]
CRASHES: frozenset[str] = frozenset(
    {
        "nonfinite",
        "diverged",
        "saturated_head",
        "flat_amplitude",
        "input_independent",
        "flat_phase",
        "lost",
        "dead_layer",
    }
)
SURVIVORS: frozenset[str] = frozenset({"healthy", "spike"})
