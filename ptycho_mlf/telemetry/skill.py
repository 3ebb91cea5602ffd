"""What a validation loss is worth."""

from __future__ import annotations


def loss_skill(loss: float, floor: float) -> float:
    """1 - loss / floor: 1 is perfect, 0 as good as the best constant object, negative worse.

    Args:
        loss: `mae` of some patterns.
        floor: smallest `mae` that a constant object reaches on them, above 0.
    """
    return 1 - loss / floor
