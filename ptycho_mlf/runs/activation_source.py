"""What an activation report says about the network it looked at."""

from __future__ import annotations

from ptycho_mlf.config import RunConfig

Source = dict[str, str | int | float | bool | None]


def network_source(config: RunConfig) -> Source:
    """Architecture and size, as the report's `source`."""
    model = config.model
    return {
        "architecture": model.architecture,
        "N": config.data.N,
        "channels": config.data.channels,
        "fno_blocks": model.fno_blocks,
        "width": model.width,
        "modes": model.modes,
        "spectral": model.spectral,
        "output_mode": model.output_mode,
        "input_transform": model.input_transform,
    }
