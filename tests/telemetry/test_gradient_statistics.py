"""Per-layer statistics against numpy float64 on a toy network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ptycho_mlf.telemetry.gradient_report import histogram_json
from ptycho_mlf.telemetry.gradient_statistics import (
    NONFINITE_BIN,
    exponent_histogram,
    layer_histograms,
    layer_norms,
    model_layers,
    quantile_of_histogram,
)
from ptycho_mlf.telemetry.norms import norms


class Toy(nn.Module):
    """Declared in another order than called; one module is used twice, one never."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 1)
        self.unused = nn.Linear(2, 2)
        self.first = nn.Linear(3, 4)
        self.twice = nn.Linear(4, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).tanh()
        return self.last(self.twice(self.twice(x)))


@pytest.fixture
def toy() -> Toy:
    torch.manual_seed(0)
    toy = Toy()
    toy(torch.randn(8, 3)).square().mean().backward()
    return toy


def test_layers_are_modules_with_gradients_in_the_order_of_the_forward_pass(toy):
    layers = model_layers(toy, order=["first", "twice", "twice", "last", ""])
    assert [(layer.name, layer.kind, layer.numel) for layer in layers] == [
        ("first", "Linear", 16),
        ("twice", "Linear", 16),
        ("last", "Linear", 5),
    ]
    assert [layer.name for layer in model_layers(toy)] == ["last", "first", "twice"]


def test_norms_of_layers(toy):
    gradients = [p.grad for p in toy.parameters() if p.grad is not None]
    layers = model_layers(toy, order=["first", "twice", "last"])
    found = layer_norms(norms(gradients).double().numpy()[None], layers)
    expected = [
        np.sqrt(sum(np.square(p.grad.numpy().astype(float)).sum() for p in getattr(toy, name).parameters()))
        for name in ("first", "twice", "last")
    ]
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_histograms_count_binary_orders_of_magnitude(toy):
    rng = np.random.default_rng(0)
    values = (rng.normal(size=300_000) * 10.0 ** rng.uniform(-12, 6, 300_000)).astype(np.float32)
    values[:7] = [0, -0.0, 1e-40, np.inf, -np.inf, np.nan, 1.0]
    counts = exponent_histogram([torch.from_numpy(values).view(300, 1000), torch.tensor(2.5)]).numpy()
    size = np.abs(np.append(values, np.float32(2.5))).astype(float)
    normal = size[np.isfinite(size) & (size >= 2.0**-126)]
    expected, _ = np.histogram(np.floor(np.log2(normal)), np.arange(-126, 129) - 0.5)
    np.testing.assert_array_equal(counts[1:NONFINITE_BIN], expected[: NONFINITE_BIN - 1])
    assert (counts[0], counts[NONFINITE_BIN]) == (3, 3)
    assert counts.sum() == 300_001
    for share in (0.01, 0.5, 0.99):
        # A bin is 0.3 decades wide.
        assert quantile_of_histogram(counts, share) == pytest.approx(np.log10(np.quantile(normal, share)), abs=0.05)


def test_a_layer_of_zeros_has_no_quantiles(toy):
    toy.last.weight.grad.zero_()
    toy.last.bias.grad.zero_()
    layers = model_layers(toy)
    counts = layer_histograms([p.grad for p in toy.parameters() if p.grad is not None], layers)
    assert [row.sum() for row in counts] == [layer.numel for layer in layers]
    empty = histogram_json(counts[0])
    assert (empty["counts"], empty["zeros"], empty["log10_quantiles"]["p50"]) == ([], 5, None)
    full = histogram_json(counts[1])
    gradients = np.abs(np.concatenate([p.grad.numpy().ravel() for p in toy.first.parameters()]))
    assert sum(full["counts"]) == 16
    assert full["first_exponent"] == np.floor(np.log2(gradients.min()))


def test_other_numbers_than_float32_are_refused():
    with pytest.raises(TypeError, match="float64"):
        exponent_histogram([torch.zeros(3, dtype=torch.float64)])
