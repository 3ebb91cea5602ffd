"""Factorised Fourier neural operator: one-dimensional spectra along x and y instead of two-dimensional ones."""

from __future__ import annotations

from torch import Tensor, nn

from ..config import ModelConfig
from .gate import Gate
from .registry import register
from .spectral_conv1d import SpectralConv1d


class FactorisedSpectralConv(nn.Module):
    """Sum of a spectral convolution along x and one along y, (B, w, N, N) -> (B, w, N, N)."""

    def __init__(self, channels: int, modes: int, side: int) -> None:
        super().__init__()
        self.along_x = SpectralConv1d(channels, channels, modes, side, "x")
        self.along_y = SpectralConv1d(channels, channels, modes, side, "y")

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return self.along_x(x) + self.along_y(x)


class ChannelMixer(nn.Module):
    """Instance norm (affine), Conv1x1 to twice the channels, GELU, Conv1x1 back: the per-block part of a branch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # One group per channel is an instance norm, and unlike torch's own it keeps channels-last memory.
        self.norm = nn.GroupNorm(channels, channels, eps=1e-5)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.activation = nn.GELU()
        self.project = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return self.project(self.activation(self.expand(self.norm(x))))


class Refiner(nn.Module):
    """x + Conv3x3(GELU(Conv3x3(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.GELU(), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return x + self.branch(x)


class Ffno(nn.Module):
    """n blocks x + gate * mixer(spectral(x)), then refiners; (B, w, N, N) -> (B, w, N, N).

    Spectral weights and gate exist once for all blocks, or once per block.
    """

    def __init__(self, model: ModelConfig, N: int) -> None:
        super().__init__()
        spectra = 1 if model.ffno_weights == "shared" else model.fno_blocks
        gates = 1 if model.ffno_gate == "shared" else model.fno_blocks
        self.spectral = nn.ModuleList(FactorisedSpectralConv(model.width, model.modes, N) for _ in range(spectra))
        self.gate = nn.ModuleList(Gate() for _ in range(gates))
        self.mixer = nn.ModuleList(ChannelMixer(model.width) for _ in range(model.fno_blocks))
        self.refiner = nn.Sequential(*(Refiner(model.width) for _ in range(model.cnn_blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return self.refiner(self.blocks(x))

    def blocks(self, x: Tensor) -> Tensor:
        """All but the refiners. A module list of one is shared by all blocks."""
        for index, mixer in enumerate(self.mixer):
            spectral, gate = self.spectral[index % len(self.spectral)], self.gate[index % len(self.gate)]
            x = x + gate(mixer(spectral(x)))
        return x


@register(
    "ffno",
    summary="Blocks with one-dimensional spectra along x and y, refined by residual convolutions.",
    source="Tran et al., Factorized Fourier neural operators, 2023, arXiv:2111.13802",
    family="factorised_fourier",
    normalised=True,
)
def ffno(model: ModelConfig, N: int) -> nn.Module:
    """The factorised body."""
    return Ffno(model, N)
