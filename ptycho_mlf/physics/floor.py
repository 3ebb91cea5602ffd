"""What a constant object scores: the loss under which a network has learned anything at all.

A network that has collapsed returns one constant c for every pixel. It then predicts c * A0 for every pattern, where
A0 = fftshift(|FFT2(P)|) / N is the diffraction amplitude of the bare probe; the phase of the constant does not matter.
Shapes: n patterns, C channels, N pattern side, P probe modes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from .far_field import far_field_amplitude
from .losses import GUARD


@dataclass(frozen=True)
class ConstantFit:
    """The best constant for some patterns."""

    c: float
    """Amplitude of the constant, normalised units."""
    loss: float
    """Its `mae` over these patterns."""


@dataclass(frozen=True)
class Floors:
    """Losses of constant objects on one set of patterns, to compare a val or test loss with."""

    best: float
    """Loss of the best constant for these patterns themselves."""
    c_best: float
    train: float
    """Loss on the train patterns of the best constant for the train patterns."""
    c_train: float
    transfer: float
    """Loss on these patterns of the best constant for the train patterns."""


class ConstantObject:
    """L(c), the `mae` of the prediction c * A0, over patterns that fall into given batches."""

    def __init__(
        self,
        amplitude_nCNN: NDArray[np.float32],
        probe_PNN: NDArray[np.complex64],
        batch_size: int,
        order_n: NDArray[np.integer[Any]] | None = None,
    ) -> None:
        """Take A0 of the probe and the weight of every batch.

        Args:
            amplitude_nCNN: measured amplitudes X.
            probe_PNN: the probe that made them.
            batch_size: patterns per batch; every batch is normalised by its own mean X, the last one may be smaller.
            order_n: the order in which patterns fall into batches; None is the natural one.

        Raises:
            ValueError: no patterns, or a probe that does not fit them.
        """
        n = len(amplitude_nCNN)
        if not n:
            raise ValueError("constant object: there are no patterns")
        order_n = np.arange(n) if order_n is None else order_n
        probe = torch.tensor(probe_PNN, dtype=torch.complex128)[None, None]
        ones = torch.ones(1, 1, *amplitude_nCNN.shape[-2:], dtype=torch.complex128)
        A0_NN: NDArray[np.float64] = far_field_amplitude(ones, probe)[0, 0].numpy()
        self._mean_A0 = float(A0_NN.mean())
        self._A0_NN = A0_NN.astype(np.float32)
        self._amplitude_nCNN = amplitude_nCNN
        self._batches = [order_n[start : start + batch_size] for start in range(0, n, batch_size)]
        self._weights = [1.0 / (amplitude_nCNN[batch].mean(dtype=np.float64) + GUARD) for batch in self._batches]

    def loss(self, c: float) -> float:
        """L(c) = sum over batches of count * mean|c * A0 - X| / (mean X + 1e-8), over n. Convex in c."""
        prediction_NN = np.float32(c) * self._A0_NN
        total = 0.0
        # Batch by batch: a batch stays in the processor's cache, and the patterns stream through it once.
        for batch, weight in zip(self._batches, self._weights, strict=True):
            error = self._amplitude_nCNN[batch]
            error -= prediction_NN
            total += weight * float(np.abs(error, out=error).sum())
        return total / self._amplitude_nCNN.size

    def fit(self) -> ConstantFit:
        """The best c, to 1e-4, and its loss."""
        # At the minimum c * mean A0 * mean weight - L(0) <= L(c) <= L(0), by the triangle inequality.
        mean_weight = float(np.average(self._weights, weights=[len(batch) for batch in self._batches]))
        highest = 2.0 * self.loss(0.0) / (self._mean_A0 * mean_weight)
        found = minimize_scalar(self.loss, bounds=(0.0, highest), method="bounded", options={"xatol": 1e-4})
        return ConstantFit(c=float(found.x), loss=float(found.fun))


def fit_train_constant(
    amplitude_nCNN: NDArray[np.float32], probe_PNN: NDArray[np.complex64], batch_size: int
) -> ConstantFit:
    """The constant a network collapses to: the best one for the train patterns in shuffled batches, as trained.

    The order matters. Neighbours in a scan are alike, so that in natural order dark batches have small means and large
    weights: on the lines objects (N 64, batches of 16) the best constant is then 2.5 % darker and its loss 1.5 %
    higher than any training sees. Among shuffles, of which one is fixed here, the loss varies by less than 1e-4.

    Args:
        amplitude_nCNN: measured amplitudes of the train patterns.
        probe_PNN: the probe that made them.
        batch_size: patterns per batch.

    Raises:
        ValueError: no patterns, or a probe that does not fit them.
    """
    order_n = np.random.default_rng(0).permutation(len(amplitude_nCNN))
    return ConstantObject(amplitude_nCNN, probe_PNN, batch_size, order_n).fit()


def constant_object_floors(
    amplitude_nCNN: NDArray[np.float32], probe_PNN: NDArray[np.complex64], batch_size: int, train: ConstantFit
) -> Floors:
    """All floors of one set of patterns, in natural order as validation takes them.

    Args:
        amplitude_nCNN: measured amplitudes of the val or test patterns.
        probe_PNN: the probe that made them.
        batch_size: patterns per batch.
        train: `fit_train_constant` of the train patterns.

    Raises:
        ValueError: no patterns, or a probe that does not fit them.
    """
    constant = ConstantObject(amplitude_nCNN, probe_PNN, batch_size)
    own = constant.fit()
    return Floors(best=own.loss, c_best=own.c, train=train.loss, c_train=train.c, transfer=constant.loss(train.c))
