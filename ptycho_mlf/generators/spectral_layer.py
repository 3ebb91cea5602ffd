"""What the spectral layers share: one real weight per mode, and Fourier matrices that follow it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Self

import torch
from torch import Tensor, nn


class SpectralLayer(nn.Module, ABC):
    """Multiplies Fourier modes by weights, one complex matrix (Cin, Cout) per mode.

    `weight` is real, (modes, Cin, Cout, 2), last axis (re, im): optimizers, clipping and checkpoints see plain real
    numbers. Initial values: complex normal with E|w|^2 = 1 / Cin.
    """

    unit_axis: ClassVar[dict[str, int | None]] = {"weight": 2}
    complex_pairs: ClassVar[frozenset[str]] = frozenset({"weight"})

    weight: nn.Parameter

    def __init__(self, modes: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(modes, in_channels, out_channels, 2) * math.sqrt(0.5 / in_channels))

    @property
    @abstractmethod
    def live_reals(self) -> int:
        """Real numbers of `weight` that can receive a gradient."""

    @abstractmethod
    def fourier_matrices(self) -> dict[str, Tensor]:
        """The constant matrices of the layer by buffer name, float64."""

    def register_fourier_matrices(self) -> None:
        """Compute the matrices and round them once to the dtype of the weight."""
        for name, matrix in self.fourier_matrices().items():
            self.register_buffer(name, matrix.to(self.weight), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # A cast of the module must not cast matrices that were already rounded: float64 would keep float32 errors.
        super()._apply(fn, recurse)
        self.register_fourier_matrices()
        return self

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Filter an image: real (B, Cin, H, W) -> real (B, Cout, H, W), channels-last in memory.

        Runs in the precision of the weight also under autocast: sums over a whole image lose too much in bfloat16.

        Raises:
            ValueError: an image of another size than the layer was built for.
        """
        with torch.autocast(x_BCHW.device.type, enabled=False):
            if x_BCHW.dtype in (torch.bfloat16, torch.float16):
                x_BCHW = x_BCHW.to(self.weight.dtype)
            return self.filter(x_BCHW)

    @abstractmethod
    def filter(self, x_BCHW: Tensor) -> Tensor:
        """`forward` in the precision of the weight."""


def mix_channels(spectrum_KMC: Tensor, weight_KCD2: Tensor) -> Tensor:
    """Multiply every mode by its complex matrix.

    Args:
        spectrum_KMC: real (K, M, Cin), M rows of which consecutive pairs are (re, im).
        weight_KCD2: real (K, Cin, Cout, 2), last axis (re, im).

    Returns:
        complex (K, M / 2, Cout).
    """
    K, M, C = spectrum_KMC.shape
    # Real and imaginary rows go through one real product with the interleaved weight: no conjugate copy of the
    # weight is made in the backward pass, as a complex product would.
    product = torch.bmm(spectrum_KMC, weight_KCD2.reshape(K, C, -1)).view(K, M // 2, 2, -1, 2)
    by_real_KMD, by_imag_KMD = torch.view_as_complex(product).unbind(2)
    return torch.add(by_real_KMD, by_imag_KMD, alpha=1j)


def apply_matrix(matrix_PQ: Tensor, x_BQC: Tensor) -> Tensor:
    """One matrix for every element of a batch: (P, Q), (B, Q, C) -> (B, P, C)."""
    return torch.bmm(matrix_PQ.expand(x_BQC.shape[0], -1, -1), x_BQC)
