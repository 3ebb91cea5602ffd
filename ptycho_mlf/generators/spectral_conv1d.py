"""Spectral convolution of images along one axis: the factor of a factorised Fourier neural operator.

(Tran et al., Factorized Fourier neural operators, 2023, arXiv:2111.13802.) A real transform along one axis keeps all
its information in the non-negative frequencies, so there is no one-sided variant.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from .dft import real_forward, real_inverse
from .spectral_layer import SpectralLayer, apply_matrix, linear_map, mix_channels


class SpectralConv1d(SpectralLayer):
    """y = irfft(W rfft(x)) along one axis of real images, frequencies 0..modes-1.

    Args:
        in_channels: Cin.
        out_channels: Cout.
        modes: modes kept.
        side: length of the transformed axis, px.
        axis: `x` along the columns, `y` along the rows of the image.

    Raises:
        ValueError: more modes than the axis has.
    """

    forward_matrix: Tensor
    inverse_matrix: Tensor

    def __init__(self, in_channels: int, out_channels: int, modes: int, side: int, axis: Literal["x", "y"]) -> None:
        if modes > side // 2 + 1:
            raise ValueError(f"{modes} modes: a side of {side} px has only {side // 2 + 1}")
        super().__init__(modes, in_channels, out_channels)
        self.modes, self.side, self.axis = modes, side, axis
        self.register_fourier_matrices()

    @property
    def live_reals(self) -> int:
        """All but the imaginary parts at frequency zero and Nyquist."""
        own = sum(2 * k % self.side == 0 for k in range(self.modes))
        _, C, D, _ = self.weight.shape
        return C * D * (2 * self.modes - own)

    def fourier_matrices(self) -> dict[str, Tensor]:
        """Samples to frequencies and back."""
        return {
            "forward_matrix": real_forward(self.modes, self.side),
            "inverse_matrix": real_inverse(self.modes, self.side),
        }

    def filter(self, x_BCHW: Tensor) -> Tensor:
        """The other axis of the image rides along as part of the batch (x) or of the channels (y)."""
        B, C, H, W = x_BCHW.shape
        if (H if self.axis == "y" else W) != self.side:
            raise ValueError(f"image {H} x {W} px: this spectral layer was built for {self.side} along {self.axis}")
        batch, riding = (B, W) if self.axis == "y" else (B * H, 1)
        there, back = self.forward_matrix, self.inverse_matrix
        X_KMC = linear_map(
            x_BCHW.permute(0, 2, 3, 1).reshape(batch, self.side, riding * C),
            partial(to_spectrum, matrix=there, riding=riding),
            partial(to_samples, matrix=there.T, riding=riding),
        )
        y = linear_map(
            mix_channels(X_KMC, self.weight),
            partial(to_samples, matrix=back, riding=riding),
            partial(to_spectrum, matrix=back.T, riding=riding),
        )
        return y.view(B, H, W, -1).permute(0, 3, 1, 2)


def to_spectrum(x_BSC: Tensor, matrix: Tensor, riding: int) -> Tensor:
    """Real (B, S, riding C) -> complex (K, B riding, C) by a matrix (ri K, S)."""
    K = matrix.shape[0] // 2
    real, imag = apply_matrix(matrix, x_BSC).view(x_BSC.shape[0], 2, K, riding, -1).unbind(1)
    return torch.complex(real, imag).transpose(0, 1).flatten(1, 2)


def to_samples(Y_KMD: Tensor, matrix: Tensor, riding: int) -> Tensor:
    """Complex (K, B riding, D) -> real (B, S, riding D) by a matrix (S, ri K)."""
    y = torch.view_as_real(Y_KMD.resolve_conj()).unflatten(1, (-1, riding)).permute(1, 4, 0, 2, 3)
    return apply_matrix(matrix, y.flatten(3).flatten(1, 2))
