"""The forward operator against closed forms, numpy in float64, and its own adjoint."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho_mlf.physics.far_field import adjoint, exit_wave, far_field_amplitude, propagate

DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=20)
N = 16
PROBES = [(1, 1, 1, N, N), (1, 1, 3, N, N), (5, 1, 1, N, N), (1, 4, 2, N, N), (5, 4, 2, N, N)]


def noise(*shape, dtype=torch.complex128, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def inner(a, b):
    return (a.conj() * b).sum()


@pytest.mark.parametrize("shape", PROBES)
@pytest.mark.parametrize(("dtype", "tol"), [(torch.complex128, 1e-10), (torch.complex64, 1e-5)])
def test_amplitude_agrees_with_numpy_in_float64(shape, dtype, tol):
    object_, probe = noise(5, 4, N, N, dtype=dtype), noise(*shape, dtype=dtype, seed=1)
    wave = object_.numpy().astype(complex)[:, :, None] * probe.numpy().astype(complex)
    k = np.arange(N)
    dft = np.exp(-2j * np.pi * np.outer(k - N // 2, k) / N) / math.sqrt(N)  # rows already shifted
    expected = np.sqrt((np.abs(dft @ wave @ dft.T) ** 2).sum(axis=2))
    got = far_field_amplitude(object_, probe)
    assert got.dtype == (torch.float64 if dtype == torch.complex128 else torch.float32)
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=tol * expected.max())


@pytest.mark.parametrize("shape", PROBES)
def test_energy_is_conserved(shape):
    object_, probe = noise(5, 4, N, N), noise(*shape, seed=1)
    energy = exit_wave(object_, probe).abs().square().sum()
    assert far_field_amplitude(object_, probe).square().sum().item() == pytest.approx(energy.item(), rel=1e-10)


@pytest.mark.parametrize("shape", PROBES)
def test_adjoint(shape):
    object_, probe = noise(5, 4, N, N), noise(*shape, seed=1)
    field = noise(5, 4, shape[2], N, N, seed=2)
    left, right = inner(propagate(object_, probe), field), inner(object_, adjoint(field, probe))
    assert abs(left - right) <= 1e-10 * abs(left)


def test_backpropagation_is_the_adjoint():
    object_, probe, field = noise(2, 1, N, N).requires_grad_(), noise(1, 1, 2, N, N, seed=1), noise(2, 1, 2, N, N)
    (grad,) = torch.autograd.grad(propagate(object_, probe), object_, field)
    torch.testing.assert_close(grad, adjoint(field, probe), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("k", [(0, 0), (3, -2), (-8, 7)])
def test_a_plane_wave_is_one_pixel(k):
    row, column = torch.meshgrid(torch.arange(N), torch.arange(N), indexing="ij")
    wave = torch.exp(2j * math.pi * (k[0] * row + k[1] * column).double() / N)[None, None]
    expected = torch.zeros(1, 1, N, N, dtype=torch.float64)
    expected[0, 0, N // 2 + k[0], N // 2 + k[1]] = N
    got = far_field_amplitude(wave, torch.ones(1, 1, 1, N, N, dtype=torch.complex128))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)


def test_modes_add_up_incoherently():
    object_, probe = noise(2, 1, N, N), noise(1, 1, 1, N, N, seed=1)
    halves = torch.cat([probe, -probe], dim=2) / math.sqrt(2)  # a coherent sum would be dark
    torch.testing.assert_close(far_field_amplitude(object_, halves), far_field_amplitude(object_, probe))


@given(st.floats(-10, 10), st.sampled_from([1, 2]))
@DETERMINISTIC
def test_a_global_phase_is_not_seen(angle, P):
    object_, probe = noise(2, 1, N, N), noise(1, 1, P, N, N, seed=1)
    turned = object_ * torch.polar(torch.tensor(1.0).double(), torch.tensor(angle).double())
    torch.testing.assert_close(far_field_amplitude(turned, probe), far_field_amplitude(object_, probe))


@pytest.mark.parametrize("P", [1, 2])
@pytest.mark.parametrize("batch", [16, 9, 2])
def test_neighbours_in_the_batch_are_not_seen(P, batch):
    object_ = noise(16, 1, N, N, dtype=torch.complex64)
    probe = noise(1, 1, P, N, N, dtype=torch.complex64, seed=1)
    alone = torch.cat([far_field_amplitude(one[None], probe) for one in object_])
    together = torch.cat([far_field_amplitude(part, probe) for part in object_.split(batch)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("gain", [16, 0.25, torch.tensor(16.0)])
def test_gain_multiplies_the_amplitude(gain):
    object_, probe = noise(2, 1, N, N, dtype=torch.complex64), noise(1, 1, 1, N, N, dtype=torch.complex64, seed=1)
    got = far_field_amplitude(object_, probe, gain)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, float(gain) * far_field_amplitude(object_, probe))


@pytest.mark.parametrize("P", [1, 2])
def test_gradient(P):
    object_, probe = noise(2, 1, 4, 4).requires_grad_(), noise(1, 1, P, 4, 4, seed=1)
    assert torch.autograd.gradcheck(lambda o: far_field_amplitude(o, probe), object_)


@pytest.mark.parametrize("P", [1, 2])
def test_gradient_is_zero_where_no_light_falls(P):
    object_ = torch.zeros(1, 1, N, N, dtype=torch.complex64, requires_grad=True)
    far_field_amplitude(object_, noise(1, 1, P, N, N, dtype=torch.complex64)).sum().backward()
    assert not object_.grad.count_nonzero()


WRONG_RANKS = [(N, N), (2, N, N), (1, 1, N, N), (2, 1, N, N), (1, 1, 1, 1, N, N)]
WRONG_SIZES = [(3, 1, 1, N, N), (1, 4, 1, N, N), (1, 1, 1, N, 1), (1, 1, 1, 1, 1), (1, 1, 1, N + 2, N + 2)]


@pytest.mark.parametrize("shape", WRONG_RANKS + WRONG_SIZES)
def test_a_probe_of_any_other_shape_is_refused(shape):
    object_, probe = noise(2, 1, N, N), noise(*shape)
    for operator in (exit_wave, propagate, far_field_amplitude):
        with pytest.raises(ValueError, match=r"probe: must have shape \(2 or 1, 1 or 1, P, 16, 16\)"):
            operator(object_, probe)
    with pytest.raises(ValueError, match="probe: must have shape"):
        adjoint(noise(2, 1, 1, N, N), probe)


def test_objects_and_fields_of_any_other_kind_are_refused():
    probe = noise(1, 1, 2, N, N)
    for wrong in (noise(1, N, N), noise(1, 1, 1, N, N), noise(1, 1, N, N).real):
        with pytest.raises(ValueError, match="object: must be complex"):
            far_field_amplitude(wrong, probe)
    with pytest.raises(ValueError, match=r"probe: must be torch\.complex64 like the object"):
        far_field_amplitude(noise(1, 1, N, N, dtype=torch.complex64), probe)
    for wrong in (noise(1, 1, N, N), noise(1, 1, 2, N, N).real):
        with pytest.raises(ValueError, match="field: must be complex"):
            adjoint(wrong, probe)
    with pytest.raises(ValueError, match="field: has 1 modes, the probe 2"):
        adjoint(noise(1, 1, 1, N, N), probe)
