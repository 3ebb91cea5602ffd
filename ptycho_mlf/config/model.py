"""Parameters of the generator: the network that maps a diffraction pattern to an object patch."""

from __future__ import annotations

from typing import Any, Literal

from .errors import ImpossibleGeometryError, InputError
from .knob import Section, knob, used_if, when

Architecture = Literal["fno", "fno_vanilla", "hybrid", "stable_hybrid", "ffno", "hybrid_resnet", "cnn"]
U_SHAPED: tuple[Architecture, ...] = ("hybrid", "stable_hybrid")
_SPECTRAL_2D: tuple[Architecture, ...] = ("fno", "fno_vanilla", *U_SHAPED, "hybrid_resnet")
_SPECTRAL: tuple[Architecture, ...] = (*_SPECTRAL_2D, "ffno")
_RESNET: Architecture = "hybrid_resnet"
SHALLOWEST_RESNET = 3
"""Encoder blocks: the first two each precede a halving."""


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
    fno_blocks: int = knob(
        4,
        "Number of operator blocks; encoder levels of a U-shaped generator.",
        ge=1,
        le=64,
        used_if=when(architecture=_SPECTRAL),
    )
    width: int = knob(
        32, "Channels of the first block; the cnn has eight times as many at its bottleneck.", ge=1, le=1024
    )
    modes: int = knob(12, "Fourier modes kept per axis and sign.", ge=2, le=256, used_if=when(architecture=_SPECTRAL))
    max_hidden_channels: int = knob(
        0, "Cap on the channels of deeper levels; 0 = no cap.", ge=0, used_if=when(architecture=U_SHAPED)
    )
    input_transform: Literal["none", "sqrt", "log1p", "instance_norm"] = knob(
        "none", "Transform of the diffraction amplitude before the first layer."
    )
    output_mode: Literal["real_imag", "amp_phase", "amp_phase_logits"] = knob(
        "real_imag",
        "Output head: unbounded real and imaginary part, or bounded amplitude and phase.",
        used_if=when(architecture=_SPECTRAL),
    )
    spectral: Literal["two_sided", "one_sided"] = knob(
        "two_sided",
        "Row frequencies of the spectral layer; one_sided drops the negative ones, as the earlier study did.",
        replication=True,
        used_if=when(architecture=_SPECTRAL_2D),
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
    resnet_blocks: int = knob(
        6, "Residual blocks behind the encoder of hybrid_resnet.", ge=1, le=64, used_if=when(architecture=_RESNET)
    )
    resnet_width: int = knob(
        0,
        "Channels of those blocks; 0 = those that the encoder gives, 4 width.",
        ge=0,
        le=4096,
        multiple_of=4,
        used_if=when(architecture=_RESNET),
    )
    resnet_downsample: Literal["strided", "avg_pool", "blur_pool"] = knob(
        "strided",
        "How hybrid_resnet halves the side: a strided convolution, or a pooling and a 1x1 convolution.",
        used_if=when(architecture=_RESNET),
    )
    resnet_skips: Literal["none", "add", "concat", "gated_add"] = knob(
        "none", "How encoder levels of hybrid_resnet join its decoder.", used_if=when(architecture=_RESNET)
    )
    cbam: bool = knob(True, "Attention behind every encoder stage of the cnn.", used_if=when(architecture="cnn"))
    probe_big: bool = knob(
        True,
        "false makes the cnn predict the central N/2 window only, with zeros around it, as the earlier study did.",
        replication=True,
        used_if=when(architecture="cnn"),
    )
    cnn_amplitude: Literal["silu", "sigmoid"] = knob(
        "silu", "Amplitude activation of the cnn; sigmoid bounds it by 1.", used_if=when(architecture="cnn")
    )

    @property
    def output(self) -> Literal["real_imag", "amp_phase", "amp_phase_logits", "silu_phase"]:
        """What the output head gives: `output_mode`, or what the cnn has in its place.

        `silu_phase` is an amplitude without upper bound and a phase within +-pi.
        """
        if self.architecture == "cnn":
            return "amp_phase" if self.cnn_amplitude == "sigmoid" else "silu_phase"
        return self.output_mode

    def used(self) -> dict[str, Any]:
        """The settings that something consumes here, by name."""
        values = self.model_dump()
        conditions = {name: used_if(field) for name, field in type(self).model_fields.items()}
        return {name: value for name, value in values.items() if (c := conditions[name]) is None or c.holds(values)}

    def window(self, N: int) -> slice:
        """The pixels of either axis that are predicted; the others are zero."""
        return slice(0, N) if self.probe_big else slice(N // 4, N - N // 4)

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

    def check(self, N: int, channels: int = 1) -> None:
        """Rules between the fields, for patterns of side N in groups of `channels`.

        Raises:
            ImpossibleGeometryError: a depth that N cannot hold, or a side that cannot be halved as often as needed.
            InputError: more modes than frequencies, a cap that caps nothing, too few blocks or channels.
        """
        if self.architecture == "cnn":
            self._check_cnn(N, channels)
            return
        if self.architecture == _RESNET:
            if self.fno_blocks < SHALLOWEST_RESNET:
                raise InputError(f"fno_blocks={self.fno_blocks}: {_RESNET} has at least {SHALLOWEST_RESNET}")
            if N % 4:
                raise ImpossibleGeometryError(f"N={N}: {_RESNET} halves the side twice, so it must be a multiple of 4")
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

    def _check_cnn(self, N: int, channels: int) -> None:
        stages = cnn_stages(N)
        if N % max(4, 2**stages):
            raise ImpossibleGeometryError(f"N={N}: must be a multiple of {max(4, 2**stages)} for a cnn of this size")
        if 8 * self.width % 2 ** (stages - 1):
            least = 2 ** (stages - 1) // 8
            raise InputError(f"width={self.width}: the cnn at N={N} needs a multiple of {least}")
        if 2 * self.width <= channels:
            raise InputError(f"width={self.width}: the cnn needs at least {channels // 2 + 1} for groups of {channels}")


def cnn_stages(N: int) -> int:
    """Encoder stages of the cnn: halvings of N down to a bottleneck of 8 to 15 px."""
    return (N // 8).bit_length() - 1
