"""What to try after a training that learned nothing, or little."""

from __future__ import annotations

LITTLE_SKILL = 0.2
"""Validation skill below which a healthy run has learned little."""
ROSE = 1.1
"""A loss that ends this many times its minimum rose."""
STEP = 3.0
"""Factor of the learning rate to try next."""


def hint(verdict: str, *, skill: float, rise: float, learning_rate: float) -> str | None:
    """One sentence, or None where the learning rate is not the likely reason.

    Args:
        verdict: its name.
        skill: of the last validation over the best constant object.
        rise: last validation loss over the smallest one, the initial one included.
        learning_rate: the peak learning rate.
    """
    if verdict != "stagnated" and not (verdict == "healthy" and skill < LITTLE_SKILL):
        return None
    direction, rate = ("high", learning_rate / STEP) if rise > ROSE else ("low", learning_rate * STEP)
    return (
        f"The learning rate is probably too {direction}: try `mlflow run . -e stage_a -P learning_rate={rate:.2g}`; "
        "`mlflow run . -e lr_threshold` with the other parameters of this run finds the highest stable one."
    )
