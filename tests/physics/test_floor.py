"""Constant-object floors against the weighted median that minimises a sum of absolute errors exactly."""

import numpy as np
import pytest
import torch

from ptycho_mlf.physics.floor import ConstantFit, ConstantObject, constant_object_floors, fit_train_constant
from ptycho_mlf.physics.losses import mae

N = 8


def probe(P=1, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((P, N, N)) + 1j * rng.standard_normal((P, N, N))).astype(np.complex64)


def bare_amplitude(probe_PNN):
    fields = np.fft.fftshift(np.fft.fft2(probe_PNN.astype(complex)) / N, axes=(-2, -1))
    return np.sqrt((np.abs(fields) ** 2).sum(axis=0))


def patterns(n, C=1, seed=1):
    """Patterns whose brightness drifts, so that batches have different means."""
    rng = np.random.default_rng(seed)
    return (rng.gamma(2.0, 0.3, (n, C, N, N)) * np.linspace(0.5, 2, n)[:, None, None, None]).astype(np.float32)


def val_loss(predict, amplitude, batch_size):
    """Count-weighted mean of the batch losses in natural order, in float64."""
    total = 0.0
    for start in range(0, len(amplitude), batch_size):
        X = amplitude[start : start + batch_size].astype(np.float64)
        total += len(X) * np.abs(predict - X).mean() / (X.mean() + 1e-8)
    return total / len(amplitude)


@pytest.mark.parametrize(("P", "C", "n", "batch_size"), [(1, 1, 37, 16), (2, 4, 9, 4), (1, 1, 5, 16)])
def test_loss_and_best_constant(P, C, n, batch_size):
    amplitude, A0 = patterns(n, C), bare_amplitude(probe(P))
    constant = ConstantObject(amplitude, probe(P), batch_size)
    for c in (0.0, 0.1, 0.7, 3.0):
        assert constant.loss(c) == pytest.approx(val_loss(c * A0, amplitude, batch_size), rel=1e-5)

    means = [amplitude[i : i + batch_size].mean(dtype=np.float64) for i in range(0, n, batch_size)]
    ratio = (amplitude / A0).ravel()
    weight = (A0 / np.repeat(means, batch_size)[:n, None, None, None] * np.ones_like(amplitude)).ravel()
    order = np.argsort(ratio)
    median = ratio[order][np.searchsorted(weight[order].cumsum(), weight.sum() / 2)]
    fit = constant.fit()
    assert fit.loss == pytest.approx(val_loss(median * A0, amplitude, batch_size), rel=1e-4)
    assert fit.c == pytest.approx(median, abs=5e-3)  # the loss is flat there


def test_it_is_the_validation_loss_of_training():
    amplitude, A0 = patterns(10), torch.tensor(bare_amplitude(probe())).float()
    batches = torch.tensor(amplitude).split(4)
    expected = sum(len(X) * mae(0.4 * A0.expand_as(X), X).item() for X in batches) / 10
    assert ConstantObject(amplitude, probe(), 4).loss(0.4) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("c", [1e-2, 0.66, 40.0])
def test_a_constant_object_is_found(c):
    amplitude = np.broadcast_to(c * bare_amplitude(probe()), (6, 1, N, N)).astype(np.float32)
    constant = ConstantObject(amplitude, probe(), 4)
    assert constant.fit().c == pytest.approx(c, abs=2e-4)
    assert constant.fit().loss < 2e-4 / c
    assert constant.loss(0.0) == pytest.approx(1, abs=1e-6)


def test_order_decides_the_batches():
    amplitude, A0, order = patterns(20), bare_amplitude(probe()), np.random.default_rng(3).permutation(20)
    shuffled = ConstantObject(amplitude, probe(), 8, order)
    assert shuffled.loss(0.5) == pytest.approx(val_loss(0.5 * A0, amplitude[order], 8), rel=1e-5)
    assert shuffled.loss(0.5) != pytest.approx(ConstantObject(amplitude, probe(), 8).loss(0.5), rel=1e-3)


def test_the_train_constant_does_not_know_the_order_of_the_scan():
    """Shuffled batches all have about the mean of the whole, natural ones of a drifting scan do not."""
    amplitude = patterns(800)
    train = fit_train_constant(amplitude, probe(), 16)
    again = fit_train_constant(amplitude[np.random.default_rng(3).permutation(800)], probe(), 16)
    assert (again.c, again.loss) == pytest.approx((train.c, train.loss), rel=3e-3)
    assert ConstantObject(amplitude, probe(), 16).fit().c < 0.9 * train.c  # dark batches weigh more
    assert fit_train_constant(amplitude, probe(), 16) == train


def test_floors_of_two_sets():
    train, held_out = fit_train_constant(patterns(20), probe(), 16), 2 * patterns(7, seed=2)
    floors = constant_object_floors(held_out, probe(), 4, train)
    own = ConstantObject(held_out, probe(), 4)
    assert (floors.train, floors.c_train) == (train.loss, train.c)
    assert (floors.best, floors.c_best) == (own.fit().loss, own.fit().c)
    assert floors.transfer == own.loss(train.c) > floors.best


def test_dark_and_empty_sets():
    dark = np.zeros((3, 1, N, N), np.float32)
    assert ConstantObject(dark, probe(), 2).fit() == ConstantFit(c=0.0, loss=0.0)
    with pytest.raises(ValueError, match="there are no patterns"):
        ConstantObject(dark[:0], probe(), 2)
    with pytest.raises(ValueError, match="probe: must have shape"):
        ConstantObject(np.zeros((3, 1, 6, 6), np.float32), probe(), 2)
