"""What a study found as metrics of its run, so that studies can be told apart in a table of runs."""

from __future__ import annotations

import re

from .report.estimates import Estimates


def study_metrics(found: Estimates) -> dict[str, float]:
    """Per arm: `runs/<arm>`, `crashed/<arm>`, and where rates were searched `lr50/`, `lr10/` and `use_lr/<arm>`.

    What is not known is left out. Characters that a metric's name cannot have become underscores.
    """
    points: dict[str, float | None] = {}
    for one in found.stability:
        arm = re.sub(r"[^\w\-. /]", "_", one.arm)
        points |= {f"runs/{arm}": one.runs, f"crashed/{arm}": one.crash.k}
        answer = found.rates.get(one.arm)
        if answer is not None and answer.threshold is not None:
            threshold = answer.threshold
            points |= {f"lr50/{arm}": threshold.lr50, f"lr10/{arm}": threshold.lr10, f"use_lr/{arm}": threshold.usable}
    return {name: float(value) for name, value in points.items() if value is not None}
