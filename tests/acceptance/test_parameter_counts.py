"""Sizes of the generators, built without memory."""

import re

import pytest
import torch

from ptycho_mlf.config import ModelConfig
from ptycho_mlf.generators import build_generator, count_parameters
from ptycho_mlf.generators.blocks import PtychoBlock

NUMEL = {
    "one_sided": [
        *(f"hybrid.n{n}" for n in (3, 4, 5, 6, 8)),
        "hybrid.n6.cap512",
        "hybrid.n8.cap512",
        "fno.n4",
        "fno.n4.gs2",
        "fno_vanilla.n4",
        "stable_hybrid.n4.zero_gamma",
        "stable_hybrid.n4.layerscale",
    ],
    "two_sided.N64": [
        *(f"hybrid.n{n}" for n in (3, 4, 5, 6)),
        "hybrid.n6.cap512",
        "stable_hybrid.n4.zero_gamma",
        "stable_hybrid.n4.layerscale",
        "fno.n4",
        "fno_vanilla.n4",
    ],
}
IDS = [f"params.{kind}.{name}" for kind, names in NUMEL.items() for name in names]
IDS += [f"params_real.one_sided.{name}" for name in ("hybrid.n4", "fno.n4", "fno_vanilla.n4")]
IDS += ["params.ffno.n4", "params.ffno.n24", "params_real.ffno.n4"]
CNN_IDS = [f"params.cnn.{size}" for size in ("N64.gs1", "N64.gs1.no_cbam", "N64.gs2", "N128.gs1", "N128.gs2")]
BLOCK_IDS = ["params.one_sided.ptychoblock.w32", "params_real.one_sided.ptychoblock.w32"]


def size_of(id, count):
    return count.real if id.startswith("params_real") else count.numel


@pytest.mark.parametrize("id", IDS)
def test_generator(acceptance, id):
    parts = re.search(r"(?P<architecture>\w*(?:hybrid|fno)\w*)\.n(?P<n>\d+)", id)
    assert parts
    settings = {"architecture": parts["architecture"], "fno_blocks": int(parts["n"])}
    if "one_sided" in id:
        settings["spectral"] = "one_sided"
    if residual := re.search(r"zero_gamma|layerscale", id):
        settings["residual"] = residual[0]
    if "cap512" in id:
        settings["max_hidden_channels"] = 512
    # Eight levels need 128 px; one-sided counts are the same at any size.
    N = 128 if parts["n"] == "8" else 64
    with torch.device("meta"):
        generator = build_generator(ModelConfig.model_validate(settings), N, 4 if "gs2" in id else 1, seed=0)
    acceptance.check(id, size_of(id, count_parameters(generator)))


@pytest.mark.parametrize("id", CNN_IDS)
def test_cnn(acceptance, id):
    with torch.device("meta"):
        generator = build_generator(
            ModelConfig(architecture="cnn", cbam="no_cbam" not in id),
            128 if "N128" in id else 64,
            4 if "gs2" in id else 1,
            seed=0,
        )
    acceptance.check(id, count_parameters(generator).numel)


@pytest.mark.parametrize("id", BLOCK_IDS)
def test_block(acceptance, id):
    acceptance.check(id, size_of(id, count_parameters(PtychoBlock(32, 12, 64, "one_sided"))))


def test_every_published_count_is_tested(acceptance):
    published = set(
        acceptance.ids("params."),
    ) | set(acceptance.ids("params_real."))
    assert published == set(IDS + CNN_IDS + BLOCK_IDS)
