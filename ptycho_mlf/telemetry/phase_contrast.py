"""How much structure a predicted phase has, apart from what no diffraction pattern can tell: a constant and a plane.

Shapes: B patterns, C channels, N patch side.
"""

from __future__ import annotations

import torch
from torch import Tensor


class PhaseContrastMeter:
    """Accumulates k_P over batches on the device: std over pixels of the phase after plane removal, mean over patches.

    Pixels are weighted by the probe intensity, as for the amplitude. The phase is taken relative to its weighted
    circular mean, so that a constant phase near pi does not wrap.
    """

    def __init__(self, probe_PNN: Tensor) -> None:
        """Start empty.

        Args:
            probe_PNN: complex probe modes; their summed intensity is the weight of a pixel.
        """
        intensity = probe_PNN.abs().double().square().sum(0)
        self._weight_NN = intensity / intensity.sum()
        self._planes_3NN = _orthonormal_planes(self._weight_NN)
        self._sum = torch.zeros((), dtype=torch.float64, device=probe_PNN.device)
        self._count = 0

    def update(self, object_BCNN: Tensor) -> None:
        """Add a batch of complex objects."""
        unit = torch.sgn(object_BCNN.detach())
        mean_BC11 = (unit * self._weight_NN).sum((-2, -1), keepdim=True)
        phase = (unit * torch.sgn(mean_BC11).conj()).angle().double()
        plane_BC3 = torch.einsum("bcyx,kyx,yx->bck", phase, self._planes_3NN, self._weight_NN)
        residual = phase - torch.einsum("bck,kyx->bcyx", plane_BC3, self._planes_3NN)
        self._sum = self._sum + (residual.square() * self._weight_NN).sum((-2, -1)).sqrt().mean(1).sum()
        self._count += len(object_BCNN)

    def result(self) -> float:
        """k_P of everything added so far, rad; reads the device once.

        Raises:
            ValueError: nothing was added.
        """
        if not self._count:
            raise ValueError("phase contrast of no patterns")
        return (self._sum / self._count).item()


def _orthonormal_planes(weight_NN: Tensor) -> Tensor:
    """1, y, x made orthonormal under the weight, (3, N, N): a weighted plane fit is then three scalar products."""
    side = len(weight_NN)
    axis = torch.linspace(-1, 1, side, dtype=torch.float64, device=weight_NN.device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    root = weight_NN.sqrt().flatten()
    fields_n3 = torch.stack([torch.ones_like(y), y, x]).flatten(1).T
    gram = (fields_n3 * root[:, None]).T @ (fields_n3 * root[:, None])
    # Cholesky instead of QR: a pixel without light has no root weight to divide by.
    inverse = torch.linalg.solve_triangular(
        torch.linalg.cholesky(gram), torch.eye(3, dtype=gram.dtype, device=gram.device), upper=False
    )
    return (inverse @ fields_n3.T).reshape(3, side, side)
