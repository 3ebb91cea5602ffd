"""Residual blocks: their form, their start as the identity, and what an instance norm after a branch implies."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, gelu

from ptycho_mlf.generators.blocks import PtychoBlock, StablePtychoBlock
from ptycho_mlf.generators.parameters import ParameterCount, count_parameters


@pytest.fixture
def x():
    return torch.randn(3, 8, 16, 16, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)


def filtered(operator, x):
    return gelu(operator.spectral(x) + conv2d(x, operator.local.weight, operator.local.bias, padding=1))


def stable(residual, layerscale_init=1e-3):
    torch.manual_seed(1)
    return StablePtychoBlock(8, 5, 16, "two_sided", residual, layerscale_init)


def test_plain_block_adds_what_it_filters(x):
    block = PtychoBlock(8, 5, 16, "two_sided")
    torch.testing.assert_close(block(x), x + filtered(block.branch, x))


def test_real_count_of_the_plain_block():
    assert count_parameters(PtychoBlock(32, 12, 64, "one_sided")) == ParameterCount(156_704, 304_160, 303_136)


@pytest.mark.parametrize("residual", ["zero_gamma", "layerscale"])
def test_stable_block_is_scaled_instance_norm_of_what_it_filters(x, residual):
    block = stable(residual)
    branch, norm = block.branch, nn.InstanceNorm2d(8, affine=True, eps=1e-5)
    scale = 1.0
    with torch.no_grad():
        for parameter in (p for n, p in branch.named_parameters() if n in ("gamma", "beta", "layerscale")):
            parameter.uniform_(0.5, 1.5)
        norm.weight.copy_(branch.gamma)
        norm.bias.copy_(branch.beta)
    if residual == "layerscale":
        scale = branch.layerscale.view(1, -1, 1, 1)
    torch.testing.assert_close(block(x), x + scale * norm(filtered(branch.operator, x)), rtol=1e-5, atol=1e-5)


def test_zero_gamma_is_the_identity_and_only_gain_and_offset_learn_at_first(x):
    block = stable("zero_gamma")
    y = block(x)
    assert torch.equal(y, x)
    (y * torch.randn_like(y)).sum().backward()
    touched = {name for name, p in block.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert touched == {"branch.gamma", "branch.beta"}


def test_layerscale_starts_as_the_identity_up_to_its_scale_and_everything_learns(x):
    block = stable("layerscale", layerscale_init=1e-2)
    y = block(x)
    # An instance norm has variance 1 per pattern and channel, so the update has the size of the scale itself.
    assert (y - x).square().mean((2, 3)).sqrt().div(1e-2).sub(1).abs().max() < 1e-3
    (y * torch.randn_like(y)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in block.parameters())
    assert torch.allclose(stable("layerscale", 0.0)(x), x, rtol=0, atol=1e-6)


def test_update_has_zero_mean_so_a_branch_cannot_move_the_level(x):
    mean = stable("layerscale", layerscale_init=1.0).branch(x + 3).mean((2, 3))
    assert mean.abs().max() < 1e-5
