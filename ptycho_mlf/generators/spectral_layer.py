"""What the spectral layers share: one real weight per mode, and Fourier matrices that follow it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function

Transform = Callable[[Tensor], Tensor]
"""A linear map of tensors."""
_NARROW = 8
"""Columns up to which MKL's batched products cost more than their copies into one."""


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


def linear_map(x: Tensor, transform: Transform, adjoint: Transform) -> Tensor:
    """`transform(x)`, with `adjoint` as its derivative in the backward pass and the reverse in the pass after that.

    Nothing is recorded inside either, so that both are free to write where it costs least.
    """
    return cast(Tensor, _LinearMap.apply(x, transform, adjoint))


def mix_channels(X_KBC: Tensor, weight_KCD2: Tensor) -> Tensor:
    """Multiply every mode by its complex matrix: complex (K, B, Cin) -> complex (K, B, Cout)."""
    return cast(Tensor, _MixChannels.apply(X_KBC, torch.view_as_complex(weight_KCD2.contiguous())))


def apply_matrix(matrix_PQ: Tensor, x_BQC: Tensor) -> Tensor:
    """One matrix for every element of a batch: (P, Q), (B, Q, C) -> (B, P, C)."""
    if by_convolution(matrix_PQ, x_BQC):
        return torch.conv2d(x_BQC[:, None], matrix_PQ[:, None, :, None]).squeeze(2)
    if x_BQC.device.type == "cpu" and x_BQC.shape[2] <= _NARROW:
        # One product for the whole batch is up to three times as fast as many narrow ones, copies included.
        return torch.einsum("pq,bqc->bpc", matrix_PQ, x_BQC).contiguous()
    return torch.bmm(matrix_PQ.expand(x_BQC.shape[0], -1, -1), x_BQC)


def by_convolution(matrix_PQ: Tensor, x_BQC: Tensor) -> bool:
    """Whether `apply_matrix` is a convolution: one input channel, a kernel that covers Q, P output channels.

    The same sums, but on the CPU oneDNN computes convolutions with the widest vectors of the machine, which MKL's
    batched products do not use everywhere. Measured to pay where the vectors of 16 output channels are at least three
    quarters full, the work outweighs the call, and MKL is slow: at narrow products (C <= 64), and at matrices larger
    than 32 x 32 up to C = 1024.
    """
    P, Q = matrix_PQ.shape
    C = x_BQC.shape[2]
    single_on_cpu = x_BQC.device.type == "cpu" and x_BQC.dtype == torch.float32
    full = P / math.ceil(P / 16) >= 12
    large = x_BQC.numel() * P >= 2**24
    return single_on_cpu and full and large and (C <= 64 or (C <= 1024 and P * Q > 32 * 32))


class _LinearMap(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, transform: Transform, adjoint: Transform) -> Tensor:
        ctx.adjoint, ctx.transform = adjoint, transform
        return transform(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (y_bar,) = grad_outputs
        # A second derivative may be taken under autocast, which `forward` turned off for itself alone.
        with torch.autocast(y_bar.device.type, enabled=False):
            return linear_map(y_bar, ctx.adjoint, ctx.transform), None, None


class _MixChannels(Function):
    """torch.bmm of complex matrices. Its own backward pass would copy the conjugate weight, much larger than the rest.

    The backward pass is made of differentiable operations, and so can be differentiated in turn.
    """

    @staticmethod
    def forward(ctx: Any, X_KBC: Tensor, weight_KCD: Tensor) -> Tensor:
        ctx.save_for_backward(X_KBC, weight_KCD)
        return torch.bmm(X_KBC, weight_KCD)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (Y_bar_KBD,) = grad_outputs
        X_KBC, weight_KCD = ctx.saved_tensors
        needs_X, needs_weight = ctx.needs_input_grad
        X_bar = torch.bmm(Y_bar_KBD.conj(), weight_KCD.mT).conj() if needs_X else None
        weight_bar = torch.bmm(X_KBC.mH, Y_bar_KBD) if needs_weight else None
        return X_bar, weight_bar
