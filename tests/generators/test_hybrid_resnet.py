"""hybrid_resnet: its way from side to side, its residual blocks, poolings and skips, each from its definition."""

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d, gelu, instance_norm, pad

from ptycho_mlf.config import ImpossibleGeometryError, InputError, ModelConfig
from ptycho_mlf.generators import build_generator
from ptycho_mlf.generators.downsample import BlurPool, downsample
from ptycho_mlf.generators.hybrid_resnet import ResnetBranch, SkipJoin


def model(**settings):
    sizes = {"width": 4, "modes": 3, "fno_blocks": 4, "resnet_blocks": 2}
    return ModelConfig(**{"architecture": "hybrid_resnet", **sizes, **settings})


def test_the_body_written_out():
    """Blocks at 1, 1/2, 1/4 and 1/4 of the side, gated residuals there, and up again."""
    body = build_generator(model(resnet_width=8), 32, 1, seed=0).body
    x = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    y = x
    for k, side in enumerate((32, 16, 8, 8)):
        assert y.shape[1:] == ((4, 8, 16, 16)[k], side, side)
        y = body.encoder[k](y)
        if k < 2:
            y = conv2d(y, body.down[k].weight, body.down[k].bias, stride=2)
    y = conv2d(y, body.adapter.weight, body.adapter.bias)
    for branch in body.resnet:
        y = y + 0.1 * branch(y)
    for stage in body.decoder:
        y = gelu(instance_norm(conv_transpose2d(y, stage.up.weight, stride=2, padding=1), eps=1e-5))
    assert y.shape == (2, 2, 32, 32)
    torch.testing.assert_close(body(x), y, rtol=1e-4, atol=1e-5)


def test_the_gate_is_one_for_all_residuals():
    generator = build_generator(model(resnet_blocks=3), 16, 1, seed=0)
    assert [n for n, _ in generator.named_parameters() if "gate" in n] == ["body.gate.value"]
    assert generator.body.gate.value.item() == pytest.approx(0.1)


def test_residual_branch():
    torch.manual_seed(0)
    branch = ResnetBranch(3)
    x = torch.randn(2, 3, 8, 8)
    y = x
    for k, convolution in enumerate((branch.first, branch.second)):
        y = instance_norm(conv2d(pad(y, (1, 1, 1, 1), mode="reflect"), convolution.weight), eps=1e-5)
        y = gelu(y) if k == 0 else y
    torch.testing.assert_close(branch(x), y, rtol=1e-5, atol=1e-5)


def test_average_pooling_takes_means():
    pool, projection = downsample("avg_pool", 1, 2)
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert pool(x).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert projection.weight.shape == (2, 1, 1, 1)


def test_blur_pooling_is_a_binomial_filter_without_aliases():
    pool = BlurPool()
    constant = torch.full((1, 2, 6, 6), 3.0)
    torch.testing.assert_close(pool(constant), torch.full((1, 2, 3, 3), 3.0))
    checkerboard = torch.tensor([1.0, -1.0]).repeat(3)
    for fastest in (checkerboard.expand(6, 6), checkerboard[:, None] * checkerboard):
        # The reflected edge continues it, so that nothing of it is left; every second pixel alone would give ones.
        torch.testing.assert_close(pool(fastest[None, None]), torch.zeros(1, 1, 3, 3))
    impulse = torch.zeros(1, 1, 6, 6)
    impulse[0, 0, 2, 3] = 16
    assert pool(impulse)[0, 0].tolist() == [[0, 0, 0], [0, 2, 2], [0, 0, 0]]


@pytest.mark.parametrize("kind", ["add", "concat", "gated_add"])
def test_skips(kind):
    torch.manual_seed(0)
    join = SkipJoin(3, 2, kind)
    x, skip = torch.randn(2, 2, 4, 4), torch.randn(2, 3, 4, 4)
    weight, bias = join.projection.weight[:, :, 0, 0], join.projection.bias[:, None, None]
    if kind == "concat":
        expected = torch.einsum("dc,bcyx->bdyx", weight, torch.cat([x, skip], 1)) + bias
    else:
        projected = torch.einsum("dc,bcyx->bdyx", weight, skip) + bias
        expected = x + (0.1 if kind == "gated_add" else 1) * projected
    torch.testing.assert_close(join(x, skip), expected)


@pytest.mark.parametrize("skips", ["add", "concat", "gated_add"])
def test_every_level_reaches_the_decoder_stage_of_its_side(skips):
    generator = build_generator(model(resnet_skips=skips, resnet_width=12), 16, 1, seed=0)
    generator(torch.rand(2, 1, 16, 16)).abs().sum().backward()
    joins = [p for name, p in generator.named_parameters() if ".join." in name]
    assert len(joins) == (6 if skips == "gated_add" else 4)
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in joins)


@pytest.mark.parametrize(
    ("settings", "N", "error", "message"),
    [
        ({"fno_blocks": 2}, 32, InputError, "fno_blocks=2: hybrid_resnet has at least 3"),
        ({}, 18, ImpossibleGeometryError, "N=18: hybrid_resnet halves the side twice, so it must be a multiple of 4"),
    ],
)
def test_what_cannot_be_is_refused(settings, N, error, message):
    with pytest.raises(error) as refused:
        build_generator(model(**settings), N, 1, seed=0)
    assert str(refused.value) == message
