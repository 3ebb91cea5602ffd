"""Object terms against closed forms; none of them may see a phase wrap or choke on a dark object."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho_mlf.physics.regularisers import (
    deviation_amp,
    deviation_phase,
    supervised,
    variation_amp,
    variation_phase,
)

DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=20)
N = 8
ROW, COLUMN = torch.meshgrid(torch.arange(N).double(), torch.arange(N).double(), indexing="ij")
TERMS = [variation_amp, variation_phase, deviation_amp, deviation_phase]
ROUGH = torch.randn(2, 2, N, N, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))


def object_(amplitude, phase):
    """Complex (1, 1, N, N)."""
    return torch.polar(amplitude + 0 * ROW, phase + 0 * ROW)[None, None]


def test_variation_is_the_mean_step_of_both_axes():
    assert variation_amp(object_(1 + 0.25 * ROW, 0 * ROW)).item() == pytest.approx(0.25)
    assert variation_amp(object_(1 + 0.25 * ROW + 0.5 * COLUMN, 0.7 * ROW)).item() == pytest.approx(0.75)
    spike = torch.zeros(N, N).double()
    spike[3, 3] = 1
    assert variation_amp(object_(1 + spike, 0 * ROW)).item() == pytest.approx(4 / (N * (N - 1)))


def test_phase_variation_sees_a_ramp_through_the_wraps():
    ramp = object_(1 + ROW, 2.0 * ROW - 1.5 * COLUMN)  # 14 rad across: it wraps twice
    assert variation_phase(ramp).item() == pytest.approx(3.5)


def test_deviation_is_taken_from_the_mean_of_each_patch():
    halves = (COLUMN >= N // 2).double()
    assert deviation_amp(object_(1 + 3 * halves, 0 * ROW)).item() == pytest.approx(1.5)
    patches = torch.cat([object_(1 + 0 * ROW, 1 + 0 * ROW), object_(5 + 0 * ROW, -2 + 0 * ROW)])
    for stacked in (patches, patches.transpose(0, 1)):
        assert deviation_amp(stacked).item() == pytest.approx(0, abs=1e-12)
        assert deviation_phase(stacked).item() == pytest.approx(0, abs=1e-12)


def test_phase_deviation_is_circular():
    halves = (COLUMN >= N // 2).double()
    about_pi = object_(1 + ROW, math.pi - 0.3 + 0.6 * halves)  # angles 2.84 and -2.84: their plain mean is 0
    assert deviation_phase(about_pi).item() == pytest.approx(0.3)


def test_supervised_by_hand():
    truth = object_(1 + 0 * ROW, math.pi - 0.1 + 0 * ROW)
    guess = object_(1.5 + 0 * ROW, -math.pi + 0.1 + 0 * ROW)  # 0.2 rad away, through the wrap
    assert supervised(guess, truth).item() == pytest.approx(2 * 0.5 + 4 * 0.2)
    assert supervised(truth, truth).item() == 0


@given(st.floats(-7, 7))
@DETERMINISTIC
def test_a_global_phase_changes_no_term(angle):
    turned = ROUGH * torch.polar(torch.tensor(1.0).double(), torch.tensor(angle).double())
    for term in TERMS:
        assert term(turned).item() == pytest.approx(term(ROUGH).item(), rel=1e-9)


@pytest.mark.parametrize("term", [*TERMS, lambda o: supervised(o, ROUGH[:1, :1, :3, :3])])
def test_gradients(term):
    assert torch.autograd.gradcheck(term, ROUGH[1:, 1:, :3, :3].clone().requires_grad_())


@pytest.mark.parametrize("term", [*TERMS, lambda o: supervised(o, torch.zeros_like(o))])
@pytest.mark.parametrize("amplitude", [0.0, 1e-40, 1e-25, 1e-12, 2e-6])
def test_gradients_of_a_dark_object_are_finite(term, amplitude):
    dark = (amplitude * ROUGH.to(torch.complex64)).requires_grad_()
    term(dark).backward()
    assert torch.view_as_real(dark.grad).isfinite().all()
