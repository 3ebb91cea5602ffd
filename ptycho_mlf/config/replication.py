"""Switches that repeat the confounds of the earlier study. The defaults are the clean laboratory."""

from __future__ import annotations

from typing import Literal

from .knob import Section, UsedIf, knob


class ReplicationConfig(Section):
    """One switch per confound."""

    physics_gain: Literal["unit", "batch_size"] = knob(
        "unit", "batch_size multiplies the predicted amplitude by the size of the batch.", replication=True
    )
    probe_for_model: Literal["simulated", "div4"] = knob(
        "simulated", "div4 trains with a quarter of the un-normalised probe.", replication=True
    )
    schedule_in_force: bool = knob(
        True,
        "false keeps the learning rate constant whatever the scheduler.",
        replication=True,
        used_if=UsedIf("scheduler is not Default", lambda c: c["scheduler"] != "Default"),
    )
    val_source: Literal["holdout", "test"] = knob(
        "holdout", "test validates on the test scan, as the earlier study did.", replication=True
    )
    score: Literal["both", "last"] = knob("both", "Which weights are scored on the test scan.", replication=True)
    seed_scope: Literal["all", "weights"] = knob(
        "all",
        "weights lets the seed drive the initial weights only; the order is then seeded with 42.",
        replication=True,
    )
