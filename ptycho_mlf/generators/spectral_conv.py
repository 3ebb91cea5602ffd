"""Spectral convolution of images: every kept Fourier mode is multiplied by its own channel matrix.

Y(ky, kx)[o] = sum_c X(ky, kx)[c] W[c, o, ky, kx] with X = rfft2(x) and y = irfft2(Y), all other modes zero
(Li et al., Fourier neural operator, 2021, arXiv:2010.08895). R kept rows, K kept columns.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from .dft import complex_forward, complex_inverse, real_forward, real_inverse
from .spectral_layer import SpectralLayer, apply_matrix, linear_map, mix_channels

Kind = Literal["two_sided", "one_sided"]


class SpectralConv2d(SpectralLayer):
    """Spectral convolution of real images of one fixed size.

    Columns are kx = 0..min(modes, W // 2 + 1) - 1. Rows by `kind`:

    - `two_sided`: ky = 0..modes-1 and H-modes..H-1, or every row once where 2 modes >= H. Only reachable modes have
      weights.
    - `one_sided`: ky = 0..modes-1. Without the negative row frequencies the layer is anisotropic. It always holds
      modes x modes weights; those of modes that the image does not have never receive a gradient.

    Args:
        in_channels: Cin.
        out_channels: Cout.
        modes: modes per axis and sign.
        side: image side, or (H, W), px.
        kind: which rows are kept.
    """

    forward_columns: Tensor
    forward_rows: Tensor
    inverse_rows: Tensor
    inverse_columns: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, modes: int, side: int | tuple[int, int], kind: Kind = "two_sided"
    ) -> None:
        self.H, self.W = (side, side) if isinstance(side, int) else side
        if kind == "one_sided":
            self.rows = list(range(min(modes, self.H)))
        elif 2 * modes < self.H:
            self.rows = [*range(modes), *range(self.H - modes, self.H)]
        else:
            self.rows = list(range(self.H))
        self.columns = min(modes, self.W // 2 + 1)
        self.grid = (modes, modes) if kind == "one_sided" else (len(self.rows), self.columns)
        """Stored modes per axis: rows, columns. `weight` holds them row by row."""
        super().__init__(self.grid[0] * self.grid[1], in_channels, out_channels)
        self.register_fourier_matrices()

    @property
    def live_reals(self) -> int:
        """Reals that can receive a gradient: those of reachable modes, less the imaginary parts that act on nothing.

        Where a mode is its own conjugate, its spectrum is real and so is what the inverse reads.
        """
        own_rows = sum(2 * ky % self.H == 0 for ky in self.rows)
        own_columns = sum(2 * kx % self.W == 0 for kx in range(self.columns))
        _, C, D, _ = self.weight.shape
        return C * D * (2 * len(self.rows) * self.columns - own_rows * own_columns)

    def fourier_matrices(self) -> dict[str, Tensor]:
        """Columns first on the way in (the input is real), last on the way out."""
        rows = torch.tensor(self.rows)
        return {
            "forward_columns": real_forward(self.columns, self.W),
            "forward_rows": complex_forward(rows, self.H),
            "inverse_rows": complex_inverse(rows, self.H),
            "inverse_columns": real_inverse(self.columns, self.W),
        }

    def filter(self, x_BCHW: Tensor) -> Tensor:
        """Two matrix products in, one product per mode, two matrix products out; channels stay innermost."""
        H, W = x_BCHW.shape[2:]
        if (H, W) != (self.H, self.W):
            raise ValueError(f"image {H} x {W} px: this spectral layer was built for {self.H} x {self.W}")
        columns, rows = self.forward_columns, self.forward_rows
        back_rows, back_columns = self.inverse_rows, self.inverse_columns
        X_KBC = linear_map(
            x_BCHW.permute(0, 2, 3, 1),
            partial(to_spectrum, columns=columns, rows=rows),
            partial(to_image, rows=rows.T, columns=columns.T),
        )
        y_BHWD = linear_map(
            mix_channels(X_KBC, self._reachable_weight()),
            partial(to_image, rows=back_rows, columns=back_columns),
            partial(to_spectrum, columns=back_columns.T, rows=back_rows.T),
        )
        return y_BHWD.permute(0, 3, 1, 2)

    def _reachable_weight(self) -> Tensor:
        if self.grid == (len(self.rows), self.columns):
            return self.weight
        return self.weight.unflatten(0, self.grid)[: len(self.rows), : self.columns].flatten(0, 1)


def to_spectrum(x_BHWC: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Real (B, H, W, C) -> complex (R K, B, C): columns (ri K, W), then rows (ri R, H ri)."""
    B, H, W, C = x_BHWC.shape
    x = apply_matrix(columns, x_BHWC.reshape(B * H, W, C)).view(B, rows.shape[1], -1)
    real_BMC, imag_BMC = apply_matrix(rows, x).view(B, 2, -1, C).unbind(1)
    return torch.complex(real_BMC, imag_BMC).transpose(0, 1)


def to_image(Y_MBD: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Complex (R K, B, D) -> real (B, H, W, D): rows (H ri, ri R), then columns (W, ri K)."""
    _, B, D = Y_MBD.shape
    y = torch.view_as_real(Y_MBD.resolve_conj()).permute(1, 3, 0, 2).reshape(B, rows.shape[1], -1)
    y = apply_matrix(rows, y).view(-1, columns.shape[1], D)
    return apply_matrix(columns, y).view(B, -1, columns.shape[0], D)
