"""A 3x3 convolution inside a spectral layer: the same function, fewer operations, and the network itself untouched."""

import numpy as np
import pytest
import torch
from torch.nn.functional import gelu
from torch.utils.flop_counter import FlopCounterMode

from ptycho_mlf.config import ModelConfig
from ptycho_mlf.generators import build_generator
from ptycho_mlf.generators.blocks import OperatorBranch
from ptycho_mlf.generators.merged_branch import MergedBranch, kernel_spectrum, merge_branches
from ptycho_mlf.generators.spectral_conv import SpectralConv2d


def branch_of(modes: int, side: int, kind: str = "two_sided") -> OperatorBranch:
    torch.manual_seed(side)
    branch = OperatorBranch(5, modes, side, kind)
    return branch.double().requires_grad_(False)


def image(side: int) -> torch.Tensor:
    return torch.randn(3, 5, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def definition(branch: OperatorBranch, x: torch.Tensor) -> np.ndarray:
    """The convolution pixel by pixel; the spectral layer has its own oracle elsewhere."""
    weight, bias = branch.local.weight.numpy(), branch.local.bias.numpy()
    side = x.shape[-1]
    local = np.zeros((len(x), len(bias), side, side)) + bias[:, None, None]
    for row in range(side):
        for column in range(side):
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    if 0 <= row + dy < side and 0 <= column + dx < side:
                        local[:, :, row, column] += (
                            x[:, :, row + dy, column + dx].numpy() @ weight[:, :, dy + 1, dx + 1].T
                        )
    return gelu(branch.spectral(x) + torch.from_numpy(local)).numpy()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("modes", "side"), [(5, 8), (9, 8), (3, 4), (4, 7), (2, 2), (4, 6)])
def test_same_as_spectral_layer_plus_convolution(modes: int, side: int, layout: torch.memory_format):
    branch = branch_of(modes, side)
    x = image(side).to(memory_format=layout)
    want = definition(branch, x)
    np.testing.assert_allclose(MergedBranch(branch)(x).numpy(), want, rtol=0, atol=1e-12 * np.abs(want).max())


def test_kernel_spectrum_is_that_of_a_wrapped_correlation():
    branch, x = branch_of(4, 6), image(6).numpy()
    kernel = branch.local.weight.numpy()
    wrapped = np.einsum(
        "dcyx,bcyxhw->bdhw",
        kernel,
        np.stack([np.stack([np.roll(x, (-dy, -dx), (2, 3)) for dx in (-1, 0, 1)], 2) for dy in (-1, 0, 1)], 2),
    )
    W = torch.view_as_complex(kernel_spectrum(branch.local.weight, branch.spectral)).numpy().reshape(6, 4, 5, 5)
    np.testing.assert_allclose(
        np.einsum("bchw,hwcd->bdhw", np.fft.rfft2(x), W), np.fft.rfft2(wrapped), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize(
    ("modes", "side", "kind"), [(4, 8, "two_sided"), (3, 8, "two_sided"), (8, 8, "one_sided"), (12, 8, "one_sided")]
)
def test_a_layer_that_lacks_a_mode_is_left_as_it_is(modes: int, side: int, kind: str):
    network = torch.nn.Sequential(branch_of(modes, side, kind))
    x = image(side)
    merged = merge_branches(network)
    assert not any(isinstance(module, MergedBranch) for module in merged.modules())
    assert torch.equal(merged(x), network(x))


@pytest.mark.parametrize(
    ("architecture", "count"), [("hybrid", 2), ("stable_hybrid", 2), ("hybrid_resnet", 2), ("ffno", 0), ("cnn", 0)]
)
def test_networks_are_merged_where_they_can_be(architecture: str, count: int):
    depth = {} if architecture == "cnn" else {"modes": 5, "fno_blocks": 3}
    model = ModelConfig.model_validate({"architecture": architecture, "width": 6, **depth})
    network = build_generator(model, 16, 1, seed=0).eval().double()
    before = {name: (tensor, tensor.clone()) for name, tensor in network.state_dict(keep_vars=True).items()}
    x = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.inference_mode():
        merged = merge_branches(network)
        want, found = network(x), merged(x)
    assert sum(isinstance(module, MergedBranch) for module in merged.modules()) == count
    assert (found - want).abs().max() <= 1e-11 * want.abs().max()
    after = network.state_dict(keep_vars=True)
    assert all(after[name] is tensor and torch.equal(tensor, copy) for name, (tensor, copy) in before.items())
    # Only weights that are merged exist twice.
    own = {id(tensor) for tensor, _ in before.values()} | {id(tensor) for tensor in network.buffers()}
    copies = [name for name, tensor in merged.named_parameters() if id(tensor) not in own]
    assert len(copies) == count
    assert all(name.endswith("spectral.weight") for name in copies)
    assert all(id(buffer) in own for buffer in merged.buffers())


def test_a_merged_branch_needs_less_arithmetic():
    branch = OperatorBranch(32, 9, 16, "two_sided")
    merged = MergedBranch(branch)

    def operations(module: torch.nn.Module) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.zeros(8, 32, 16, 16))
        return counter.get_total_flops()

    spectral: SpectralConv2d = branch.spectral
    assert operations(merged) - operations(spectral) < (operations(branch) - operations(spectral)) / 8
