"""One probe scale, no gain, no leak between patterns, and what a constant object scores."""

import numpy as np
import pytest
import torch

from ptycho_mlf.physics.far_field import far_field_amplitude
from ptycho_mlf.physics.floor import constant_object_floors, fit_train_constant
from ptycho_mlf.physics.losses import mae
from ptycho_mlf.physics.model_probe import model_probe
from ptycho_mlf.physics.reassembly import reassemble

SMALL = {"N": 32, "size": 72, "noise": "none"}


def true_objects(scan):
    return torch.tensor(scan.truth_patches(slice(None)))


def probe_of(scan, which="simulated"):
    return model_probe(scan.probe_PNN, scan.probe_norm, which)


@pytest.mark.parametrize("gridsize", [1, 2])
@pytest.mark.parametrize("probe", ["zone_plate", "disk"])
def test_the_true_object_predicts_the_pattern(simulated, probe, gridsize):
    """With no probe scale and no gain, objects of order 1 give the noiseless data."""
    for scan in simulated(probe=probe, gridsize=gridsize, **SMALL):
        objects = true_objects(scan)
        assert 0.3 < objects.abs().mean() < 1
        predicted = far_field_amplitude(objects, probe_of(scan)).numpy()
        np.testing.assert_allclose(predicted, scan.amplitude_nCNN, rtol=0, atol=1e-5)


def test_a_reassembled_group_still_predicts_its_patterns(simulated):
    """The overlap constraint keeps the true object, also where the probe lights more than the central windows."""
    train, _ = simulated(gridsize=2, **SMALL)
    objects = true_objects(train)
    merged = reassemble(objects, train.offsets_C2)
    assert ((merged - objects).abs() <= 1e-3 * objects.abs()).all()
    measured = torch.tensor(train.amplitude_nCNN)
    assert mae(far_field_amplitude(merged, probe_of(train)), measured) < 1e-3


def test_a_quarter_probe_needs_objects_four_times_too_large(simulated):
    train, _ = simulated(**SMALL)
    predicted = far_field_amplitude(true_objects(train), probe_of(train, "div4")).numpy()
    np.testing.assert_allclose(4 * train.probe_norm * predicted, train.amplitude_nCNN, rtol=0, atol=1e-5)


def test_predicting_zero_scores_one(acceptance, simulated):
    for scan in simulated(**SMALL):
        measured = torch.tensor(scan.amplitude_nCNN)
        acceptance.check("loss.predict_zero", mae(torch.zeros_like(measured), measured))


@pytest.mark.parametrize("modes", [1, 2])
def test_the_batch_is_not_seen(acceptance, simulated, modes):
    train, _ = simulated(**SMALL)
    objects = true_objects(train)[:16]
    probe = torch.cat([probe_of(train), probe_of(train).roll(3, dims=-1)], dim=2)[:, :, :modes]
    together = far_field_amplitude(objects, probe)
    alone = torch.cat([far_field_amplitude(one[None], probe) for one in objects])
    acceptance.check("invariance.batch", (together - alone).abs().max())


@pytest.mark.parametrize("set_phi", [True, False])
@pytest.mark.parametrize("probe", ["zone_plate", "disk"])
def test_constant_object_floor(acceptance, simulated, probe, set_phi):
    # Defaults are left out, so that tests with the same settings share a simulation.
    settings = ({} if probe == "zone_plate" else {"probe": probe}) | ({} if set_phi else {"set_phi": False})
    train, test = simulated(noise="none", **settings)
    constant = fit_train_constant(train.amplitude_nCNN, train.probe_PNN, 16)
    floors = constant_object_floors(test.amplitude_nCNN, test.probe_PNN, 16, constant)
    prefix = f"floor.{probe}.nimgs1.{'set_phi' if set_phi else 'phi0'}"
    acceptance.check(f"{prefix}.floor_best_test", floors.best)
    acceptance.check(f"{prefix}.floor_train", floors.train)
    acceptance.check(f"{prefix}.floor_transfer_test", floors.transfer)
    assert 0.65 <= constant.c <= 0.69
