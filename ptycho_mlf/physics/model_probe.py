"""The probe a network is trained with: the very probe that made the data, unless a replication asks otherwise."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def model_probe(
    probe_PNN: NDArray[np.complex64], probe_norm: float, probe_for_model: Literal["simulated", "div4"]
) -> Tensor:
    """Probe of the forward operator, (1, 1, P, N, N), dtype of `probe_PNN`.

    Args:
        probe_PNN: the probe that made the data.
        probe_norm: that probe over its un-normalised form.
        probe_for_model: `simulated` returns `probe_PNN` bit for bit. `div4` returns a quarter of the un-normalised
            probe: the mistake of the earlier study, which asked the network for amplitudes 4 * probe_norm too large.
    """
    if probe_for_model == "div4":
        probe_PNN = probe_PNN / probe_PNN.dtype.type(4.0 * probe_norm)
    return torch.tensor(probe_PNN)[None, None]
