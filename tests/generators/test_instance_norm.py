"""Instance norm against its definition in float64, in either memory layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ptycho_mlf.generators.instance_norm import instance_norm

EPS = 1e-5


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("side", [1, 2, 8, 33])
def test_its_definition(layout: torch.memory_format, side: int):
    random = np.random.default_rng(0)
    # A mean that is large beside the spread: a variance from sums of squares alone would be lost in rounding.
    x = random.normal(100.0, 0.1, (3, 5, side, side))
    gain, offset = random.normal(size=5), random.normal(size=5)
    x32 = torch.from_numpy(x).float()
    x = x32.double().numpy()
    centred = x - x.mean((2, 3), keepdims=True)
    expected = centred / np.sqrt((centred**2).mean((2, 3), keepdims=True) + EPS)
    expected = expected * gain[:, None, None] + offset[:, None, None]
    gain32, offset32 = torch.from_numpy(gain).float(), torch.from_numpy(offset).float()
    y = instance_norm(x32.to(memory_format=layout), gain32, offset32, EPS)
    assert y.is_contiguous(memory_format=layout)
    assert y.numpy() == pytest.approx(expected, abs=2e-3 if side > 1 else 1e-6)


def test_both_layouts_have_the_same_first_and_second_derivatives():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    gain, offset = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    found = []
    for layout in (torch.channels_last, torch.contiguous_format):
        leaf = x.to(memory_format=layout).requires_grad_()
        loss = instance_norm(leaf, gain, offset, EPS).sin().sum()
        first = torch.autograd.grad(loss, (leaf, gain, offset), create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in first), (leaf, gain, offset))
        found.append([part.detach().numpy() for part in (*first, *second)])
    for ours, torchs in zip(*found, strict=True):
        assert ours == pytest.approx(torchs, rel=1e-9, abs=1e-11)
