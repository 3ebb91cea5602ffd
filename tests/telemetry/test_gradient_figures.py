"""What the heatmaps make of numbers that span many decades, or are none."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho_mlf.telemetry.gradient_figures import heatmap_figure, histogram_figure, log_scale
from ptycho_mlf.telemetry.gradient_statistics import BINS, NONFINITE_BIN, Layer, LayerRows


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


@pytest.mark.parametrize("name", ["a", "body.encoder.12.branch.operator.with.a.long.name.of.its.own.spectral"])
def test_names_and_numbers_lie_within_the_figure(name: str):
    norms = np.logspace(-30, 30, 6).reshape(3, 2)
    rows = LayerRows(np.arange(3) * 10**6, np.ones(3), norms, np.ones((3, 2)), np.full((3, 2), 0.00012), norms / 1e30)
    layers = [Layer(name, "Conv2d", (0,), 4), Layer("b", "Conv2d", (1,), 4)]
    counts = np.zeros((2, BINS), np.int64)
    counts[:, 1:NONFINITE_BIN] = 3
    for figure in (heatmap_figure(rows, layers), histogram_figure({"weights": (10**6, counts)}, layers)):
        width, height = figure.get_size_inches()
        box = figure.get_tightbbox()
        assert min(box.x0, box.y0, width - box.x1, height - box.y1) > 0
