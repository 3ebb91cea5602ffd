"""Runs of a study that were never trained: what a report is made of, with numbers of choice."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptycho_mlf.studies.report.curves import in_buckets
from ptycho_mlf.studies.report.data import Member, StudyData, Validations

VERDICT = {"crashed": "diverged", "survived": "healthy", "stagnated": "stagnated", "oom": "oom"}


def member(number: int, arm: str = "a", outcome: Any = "survived", **changes: Any) -> Member:
    fields: dict[str, Any] = {
        "run_id": f"{number:032x}",
        "name": f"{arm}-{number}",
        "arm": arm,
        "seed": str(number),
        "status": "FINISHED" if outcome != "none" else "KILLED",
        "verdict": VERDICT.get(outcome),
        "outcome": outcome,
        "dataset_hash": "d1",
        "params": {"learning_rate": "0.001", "optimizer": "adam"},
        "metrics": {},
    }
    return Member(**fields | changes)


def arm(name: str, crashes: int, runs: int, first_seed: int = 0) -> list[Member]:
    """Runs of an arm, the first of which crashed."""
    return [member(first_seed + k, name, "crashed" if k < crashes else "survived") for k in range(runs)]


def study(*members: Member, **changes: Any) -> StudyData:
    return StudyData(**{"name": "made", "kind": "arms", "members": members, "made_at": "then", **changes})


def large_study(runs: int, arms: int, steps: int) -> StudyData:
    """Noisy trainings; every fifth run diverges, every rate is another one."""
    noise = np.random.default_rng(0)
    bucket = -(-steps // 300)
    members: list[Member] = []
    for number in range(runs):
        crashed = number % 5 == 0
        loss = 0.3 * np.exp(-np.arange(steps) / steps * 3) * noise.lognormal(0, 0.2, steps)
        if crashed:
            loss[steps // 2 :] *= 100
        scores = {
            f"test/{weights}/ssim_{kind}": noise.random() for weights in ("best", "last") for kind in ("amp", "phase")
        }
        skills = {f"val/skill_{weights}": noise.random() for weights in ("best", "last")}
        losses = {f"val/loss_{weights}": noise.random() for weights in ("best", "last")}
        members.append(
            member(
                number,
                f"arm/{number % arms}",
                "crashed" if crashed else "survived",
                params={"learning_rate": f"{10 ** noise.uniform(-4, -1):.3g}", "width": str(number % arms + 4)},
                metrics=scores | skills | losses | {"floor/best": 0.2, "grad_norm/run_max": noise.random()},
                onset_step=steps // 2 if crashed else None,
                steps=steps,
                loss=in_buckets(loss, bucket),
                grad_norm=in_buckets(noise.lognormal(0, 1, steps), bucket),
                validations=Validations(np.arange(1, 51) * steps / 50, noise.random(50), 0.3),
            )
        )
    return study(*members, bucket=bucket)
