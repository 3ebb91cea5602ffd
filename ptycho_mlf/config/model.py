"""Parameters of the generator: the network that maps a diffraction pattern to an object patch."""

from __future__ import annotations

from typing import Literal

from .errors import ImpossibleGeometryError, InputError
from .knob import Section, knob, when

Architecture = Literal["fno", "fno_vanilla", "hybrid", "stable_hybrid", "ffno"]
U_SHAPED: tuple[Architecture, ...] = ("hybrid", "stable_hybrid")


class ModelConfig(Section):
    """Architecture and size of the generator."""

    architecture: Architecture = knob("stable_hybrid", "The generator.")
    residual: Literal["zero_gamma", "layerscale"] = knob(
        "layerscale",
        "How a stable block starts as the identity: norm gain 0, or a small layer scale.",
        used_if=when(architecture="stable_hybrid"),
    )
    layerscale_init: float = knob(
        1e-3,
        "Initial layer scale of every channel.",
        ge=0,
        le=1,
        used_if=when(architecture="stable_hybrid", residual="layerscale"),
    )
    fno_blocks: int = knob(4, "Number of operator blocks; encoder levels of a U-shaped generator.", ge=1, le=64)
    width: int = knob(32, "Channels of the first block.", ge=1, le=1024)
    modes: int = knob(12, "Fourier modes kept per axis and sign.", ge=2, le=256)
    max_hidden_channels: int = knob(
        0, "Cap on the channels of deeper levels; 0 = no cap.", ge=0, used_if=when(architecture=U_SHAPED)
    )
    input_transform: Literal["none", "sqrt", "log1p", "instance_norm"] = knob(
        "none", "Transform of the diffraction amplitude before the first layer."
    )
    output_mode: Literal["real_imag", "amp_phase", "amp_phase_logits"] = knob(
        "real_imag", "Output head: unbounded real and imaginary part, or bounded amplitude and phase."
    )
    spectral: Literal["two_sided", "one_sided"] = knob(
        "two_sided",
        "Row frequencies of the spectral layer; one_sided drops the negative ones, as the earlier study did.",
        replication=True,
        used_if=when(architecture=("fno", "fno_vanilla", "hybrid", "stable_hybrid")),
    )
    cnn_blocks: int = knob(
        2, "Convolution blocks after the operator blocks.", ge=0, le=32, used_if=when(architecture=("fno", "ffno"))
    )
    ffno_weights: Literal["shared", "per_block"] = knob(
        "shared", "Spectral weights of ffno blocks.", used_if=when(architecture="ffno")
    )
    ffno_gate: Literal["shared", "per_block"] = knob(
        "shared", "Residual gate of ffno blocks.", used_if=when(architecture="ffno")
    )

    def depth_limit(self, N: int) -> int | None:
        """Most `fno_blocks` that a pattern of side N allows, or None without a limit.

        n levels need n - 1 halvings of N, each exact; an instance norm needs more than one pixel.
        """
        if self.architecture not in U_SHAPED:
            return None
        halvings = (N & -N).bit_length() - 1
        smallest = N >> halvings
        if self.architecture == "stable_hybrid" and smallest == 1:
            halvings -= 1
        return halvings + 1

    def check(self, N: int) -> None:
        """Rules between the fields.

        Raises:
            ImpossibleGeometryError: a depth that N cannot hold.
            InputError: more modes than frequencies, a cap that caps nothing.
        """
        limit = self.depth_limit(N)
        if limit is not None and self.fno_blocks > limit:
            raise ImpossibleGeometryError(
                f"fno_blocks={self.fno_blocks}: {self.architecture} at N={N} holds at most {limit} levels "
                f"({limit - 1} halvings leave {N >> (limit - 1)} px)"
            )
        if self.modes > N // 2 + 1:
            raise InputError(f"modes={self.modes}: N={N} has only {N // 2 + 1} non-negative frequencies")
        widest = self.width * 2 ** (self.fno_blocks - 1)
        if self.max_hidden_channels and not self.width <= self.max_hidden_channels < widest:
            raise InputError(
                f"max_hidden_channels={self.max_hidden_channels}: must lie in [{self.width}, {widest}) "
                "to cap anything, or be 0 for no cap"
            )
