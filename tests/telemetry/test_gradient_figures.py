"""What the heatmaps make of numbers that span many decades, or are none."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho_mlf.telemetry.gradient_figures import heatmap_figure, log_scale
from ptycho_mlf.telemetry.gradient_statistics import Layer, LayerRows


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (np.logspace(-2, 30, 100), 1e-2, 1e30),  # A divergence is shown in full.
        (np.append(np.ones(50), np.full(4, 1e-30)), 1e-6, 1),  # One tiny value does not eat the scale.
        (np.append(np.ones(99), np.nan), 0.5, 1),
        (np.zeros(3), 0.1, 10),
    ],
)
def test_a_logarithmic_scale(values: np.ndarray, low: float, high: float):
    scale = log_scale(values)
    assert np.log10([scale.vmin, scale.vmax]) == pytest.approx(np.log10([low, high]), abs=0.6)


def test_a_gradient_that_is_not_finite_is_black_and_one_of_zero_is_not():
    norms = np.array([[1.0, 0.0], [2.0, 0.0], [np.nan, 0.0]])
    rows = LayerRows(np.arange(3), np.ones(3), norms, np.ones((3, 2)), np.ones((3, 2)), norms)
    figure = heatmap_figure(rows, [Layer("a", "Conv2d", (0,), 4), Layer("b", "Conv2d", (1,), 4)])
    figure.canvas.draw()
    colours = [mesh.get_facecolor().reshape(-1, 4) for mesh in figure.axes[0].collections]
    (black,) = [np.flatnonzero((c == (0, 0, 0, 1)).all(axis=1)).tolist() for c in colours if (c[:, 3] > 0).sum() == 1]
    assert black == [2]  # The last step of the first layer.
