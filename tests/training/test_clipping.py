"""Every clipping algorithm against its written rule in numpy float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ptycho_mlf.config import RunConfig
from ptycho_mlf.telemetry.norms import norm
from ptycho_mlf.training.clipping import build_clipper

SHAPES = {"conv": (6, 3, 2, 2), "up": (3, 5, 2, 2), "spectral": (7, 3, 4, 2), "bias": (6,), "gate": (), "head": (2, 6)}
AXES = {"conv": 0, "up": 1, "spectral": 2, "bias": None, "gate": None, "head": 0}
HEAD = {"head"}


def example(seed: int, scale: float = 1.0) -> dict[str, nn.Parameter]:
    rng = np.random.default_rng(seed)
    params = {name: nn.Parameter(torch.from_numpy(np.asarray(rng.normal(size=s)))) for name, s in SHAPES.items()}
    for p in params.values():
        p.grad = torch.from_numpy(np.asarray(scale * rng.normal(size=p.shape)))
    return params


def gradients(params: dict[str, nn.Parameter]) -> dict[str, np.ndarray]:
    return {name: p.grad.numpy().copy() for name, p in params.items()}


def total(grads: dict[str, np.ndarray]) -> float:
    return float(np.sqrt(sum((g**2).sum() for g in grads.values())))


def clip(settings: dict, params: dict[str, nn.Parameter]):
    clipper = build_clipper(RunConfig.from_flat(settings).training, params, AXES, HEAD)
    before = gradients(params)
    result = clipper(norm([p.grad for p in params.values()]))
    return before, gradients(params), result


def check(after: dict[str, np.ndarray], expected: dict[str, np.ndarray], result, fraction: float):
    for name in SHAPES:
        np.testing.assert_allclose(after[name], expected[name], rtol=1e-12, err_msg=name)
    assert result.postclip_norm.item() == pytest.approx(total(expected), rel=1e-12)
    assert result.fraction.item() == pytest.approx(fraction, rel=1e-6)


def test_without_clipping_nothing_changes():
    before, after, result = clip({"clip_algorithm": "none"}, example(0))
    check(after, before, result, 0.0)


@pytest.mark.parametrize(("value", "fraction"), [("0", 1.0), ("2.5", 1.0), ("1e6", 0.0)])
def test_norm_scales_everything_together(value, fraction):
    before, after, result = clip({"clip_algorithm": "norm", "clip_value": value}, example(1))
    factor = min(1.0, (float(value) or 1.0) / total(before))
    check(after, {n: g * factor for n, g in before.items()}, result, fraction)


def test_value_clamps_number_by_number():
    before, after, result = clip({"clip_algorithm": "value", "clip_value": "0.7"}, example(2))
    every = np.concatenate([g.ravel() for g in before.values()])
    check(after, {n: np.clip(g, -0.7, 0.7) for n, g in before.items()}, result, np.mean(np.abs(every) > 0.7))


def adaptive(weight: np.ndarray, grad: np.ndarray, axis: int | None, ratio: float) -> tuple[np.ndarray, int, int]:
    """The rule, unit by unit."""
    grad = grad.copy()
    units = range(1) if axis is None else range(grad.shape[axis])
    clipped = 0
    for i in units:
        where = (...,) if axis is None else tuple([slice(None)] * axis + [i])
        limit = ratio * max(np.linalg.norm(weight[where]), 1e-3)
        size = np.linalg.norm(grad[where])
        if size > limit:
            grad[where] *= limit / size
            clipped += 1
    return grad, clipped, len(units)


@pytest.mark.parametrize("scale", [0.02, 1.0])
@pytest.mark.parametrize(
    ("settings", "left_out", "axes"),
    [
        ({"clip_algorithm": "agc"}, {"bias", "gate", "head"}, AXES),
        ({"clip_algorithm": "agc", "agc_exclude_head": "false", "clip_value": "0.1"}, {"bias", "gate"}, AXES),
        ({"clip_algorithm": "agc_per_tensor"}, set(), dict.fromkeys(AXES)),
    ],
)
def test_adaptive_clipping_follows_its_rule(settings, left_out, axes, scale):
    params = example(4, scale)
    with torch.no_grad():
        params["bias"].zero_()  # A zero weight is clipped at ratio * eps.
    before, after, result = clip(settings, params)
    ratio = float(settings.get("clip_value", 0)) or 0.01
    expected, clipped, units = dict(before), 0, 0
    for name in SHAPES.keys() - left_out:
        expected[name], c, u = adaptive(params[name].detach().numpy(), before[name], axes[name], ratio)
        clipped, units = clipped + c, units + u
    check(after, expected, result, clipped / units)
    assert clipped > 0 or scale < 1


def test_zclip_follows_its_recursion():
    rng = np.random.default_rng(5)
    scales = np.exp(rng.normal(0, 0.1, size=60))
    scales[[30, 31, 45]] = [20.0, 4.0, 300.0]
    params = example(6)
    clipper = build_clipper(RunConfig.from_flat({"clip_algorithm": "zclip"}).training, params, AXES, HEAD)
    base = gradients(params)
    seen, mean, variance, clips = [], 0.0, 0.0, []
    for step, scale in enumerate(scales):
        for name, p in params.items():
            p.grad = torch.from_numpy(np.asarray(scale * base[name]))
        G = scale * total(base)
        if step == 26:  # A restored clipper goes on as if nothing had happened.
            fresh = build_clipper(RunConfig.from_flat({"clip_algorithm": "zclip"}).training, params, AXES, HEAD)
            fresh.load_state_dict(clipper.state_dict())
            clipper = fresh
        result = clipper(norm([p.grad for p in params.values()]))
        target = G
        if step < 25:
            seen.append(G)
            mean, variance = np.mean(seen), np.var(seen)
        else:
            z = (G - mean) / (np.sqrt(variance) + 1e-6)
            if z > 2.5:
                target = mean + 2.5**2 * np.sqrt(variance) / z
                clips.append(step)
            mean = 0.97 * mean + 0.03 * target
            variance = 0.97 * variance + 0.03 * (target - mean) ** 2
        assert total(gradients(params)) == pytest.approx(target, rel=1e-5)
        assert result.postclip_norm.item() == pytest.approx(target, rel=1e-5)
        assert result.fraction.item() == float(target < G)
    assert {30, 31, 45} <= set(clips)
