"""The verdicts by name, and which of them count as crashed or as survived. Needs nothing: tables read it too."""

from __future__ import annotations

from typing import Literal, get_args

_Crash = Literal[
    "nonfinite",
    "diverged",
    "saturated_head",
    "flat_amplitude",
    "input_independent",
    "flat_phase",
    "lost",
    "dead_layer",
]
_Survivor = Literal["spike", "healthy"]
VerdictName = Literal["oom", _Crash, "stagnated", _Survivor]
CRASHES: frozenset[str] = frozenset(get_args(_Crash))
SURVIVORS: frozenset[str] = frozenset(get_args(_Survivor))
