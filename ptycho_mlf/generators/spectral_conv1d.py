"""Spectral convolution of images along one axis: the factor of a factorised Fourier neural operator.

(Tran et al., Factorized Fourier neural operators, 2023, arXiv:2111.13802.) A real transform along one axis keeps all
its information in the non-negative frequencies, so there is no one-sided variant.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .dft import real_forward, real_inverse
from .spectral_layer import SpectralLayer, apply_matrix, mix_channels


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
        K, D = self.modes, self.weight.shape[2]
        if (H if self.axis == "y" else W) != self.side:
            raise ValueError(f"image {H} x {W} px: this spectral layer was built for {self.side} along {self.axis}")
        batch, riding = (B, W) if self.axis == "y" else (B * H, 1)
        x = x_BCHW.permute(0, 2, 3, 1).reshape(batch, self.side, riding * C)
        x = apply_matrix(self.forward_matrix, x).view(batch, 2, K, riding, C)
        y_KMD = mix_channels(x.permute(2, 0, 3, 1, 4).reshape(K, batch * riding * 2, C), self.weight)
        y = torch.view_as_real(y_KMD).view(K, batch, riding, D, 2).permute(1, 4, 0, 2, 3)
        y = apply_matrix(self.inverse_matrix, y.reshape(batch, 2 * K, riding * D)).view(B, H, W, D)
        return y.permute(0, 3, 1, 2)
