"""The critical learning rate against quadratics whose answer is known, and the direction against real steps."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from ptycho_mlf.telemetry.critical_rate import PASSES, critical_rate, update_direction


def quadratic(eigenvalues: Tensor, w: Tensor) -> Callable[[], Tensor]:
    return lambda: 0.5 * (eigenvalues * w.square()).sum()


@pytest.mark.parametrize("start", [0.0065, 0.03, 0.5, 2.0, 25.0])
def test_gradient_descent_along_one_eigenvector_turns_at_two_over_lambda(start: float):
    w, curvature = torch.tensor([0.7], dtype=torch.float64), torch.tensor([5.0])
    found = critical_rate(quadratic(curvature, w), [w], [curvature * w], start)
    assert found.upper is not None
    assert found.lower <= 0.4 < found.upper <= 1.05 * found.lower
    assert found.value == pytest.approx(0.4, rel=0.025)
    assert found.passes <= PASSES


def test_along_many_eigenvectors_it_is_twice_the_inverse_of_the_mean_curvature():
    """L(w - eta g) = L(w) at eta = 2 g.g / g.Hg."""
    torch.manual_seed(0)
    curvature, w = torch.rand(30, dtype=torch.float64) * 9, torch.randn(30, dtype=torch.float64)
    parts = [w[:10], w[10:]]
    g = curvature * w
    found = critical_rate(quadratic(curvature, w), parts, [g[:10], g[10:]], 0.1)
    assert found.value == pytest.approx(float(2 * g.dot(g) / g.dot(curvature * g)), rel=0.025)


def test_the_weights_come_back_bit_for_bit_even_after_an_error():
    w = torch.randn(1000, generator=torch.Generator().manual_seed(1)) * 1e-3
    before, calls = w.clone(), 0
    critical_rate(quadratic(torch.ones(1000), w), [w], [w.clone()], 0.3)
    assert torch.equal(w, before)

    def breaks() -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("out of memory")
        return w.square().sum()

    with pytest.raises(RuntimeError, match="out of memory"):
        critical_rate(breaks, [w], [w.clone()], 0.3)
    assert torch.equal(w, before)


def test_what_has_no_critical_rate_is_told_as_a_bound():
    w = torch.tensor([1.0])
    flat = critical_rate(lambda: 0 * w.sum(), [w], [w.clone()], 1.0)
    assert (flat.value, flat.upper, flat.lower, flat.passes) == (None, None, 2.0 ** (PASSES - 2), PASSES)
    far = critical_rate(quadratic(torch.ones(1), w), [w], [w.clone()], 2.0**-8)
    assert (far.value, far.lower, far.upper) == (None, 2.0, 4.0)
    uphill = critical_rate(lambda: w.square().sum(), [w], [-w.clone()], 1.0)
    assert (uphill.value, uphill.lower, uphill.upper, uphill.passes) == (None, 0.0, 2.0 ** (2 - PASSES), PASSES)


def test_a_loss_that_breaks_on_the_way_has_risen():
    w = torch.tensor([1.0], dtype=torch.float64)
    found = critical_rate(lambda: w.log().sum() + 1, [w], [torch.ones(1, dtype=torch.float64)], 0.1)
    assert found.value == pytest.approx(1.0, rel=0.025)  # log of a negative number from there on


@pytest.mark.parametrize(("value", "start"), [(float("nan"), 1.0), (1.0, 0.0), (1.0, float("nan"))])
def test_it_refuses_what_cannot_be_searched(value: float, start: float):
    w = torch.tensor([1.0])
    with pytest.raises(ValueError, match=r"loss|start"):
        critical_rate(lambda: torch.tensor(value), [w], [w], start)


@pytest.mark.parametrize("steps", [0, 1, 7])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (SGD, {}),
        (SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        (SGD, {"momentum": 0.5}),
        (Adam, {"weight_decay": 0.1}),
        (Adam, {"betas": (0.5, 0.9)}),
        (AdamW, {"weight_decay": 0.1}),
    ],
)
def test_the_direction_is_that_of_the_next_step(kind: type[Optimizer], options: dict[str, Any], steps: int):
    torch.manual_seed(steps)
    lr = 1e-2
    parameters = [nn.Parameter(torch.randn(4, 3, dtype=torch.float64)), nn.Parameter(torch.randn(5).double())]
    groups = [{"params": [parameters[1]], "weight_decay": 0.0}, {"params": [parameters[0]]}]
    optimizer: Any = kind(groups, lr=lr, fused=True, **options)  # pyright: ignore[reportCallIssue]

    def gradients() -> dict[Tensor, Tensor]:
        return {p: torch.randn_like(p) for p in parameters}

    for _ in range(steps):
        for parameter, gradient in gradients().items():
            parameter.grad = gradient
        optimizer.step()
    asked = gradients()
    before = copy.deepcopy((optimizer.state_dict(), [p.detach() for p in parameters]))
    direction = update_direction(optimizer, asked)
    after = (optimizer.state_dict(), [p.detach() for p in parameters])
    torch.testing.assert_close(after, before, rtol=0, atol=0)

    for parameter, gradient in asked.items():
        parameter.grad = gradient
    optimizer.step()
    for parameter, weight, step in zip(parameters, before[1], direction, strict=True):
        torch.testing.assert_close((weight - parameter.detach()) / lr, step, rtol=1e-6, atol=1e-9)


def test_an_unknown_optimizer_is_refused():
    w = nn.Parameter(torch.ones(2))
    with pytest.raises(TypeError, match="RMSprop"):
        update_direction(RMSprop([w]), {w: torch.ones(2)})
