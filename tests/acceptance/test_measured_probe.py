"""The published numbers that need the measured probe of the earlier study, which is not part of this package.

Option: the environment variable PTYCHO_MLF_MEASURED_PROBE names the npz file of that probe (key probeGuess, (64, 64),
complex, not smoothed). Without it these tests do not run.
"""

import os

import numpy as np
import pytest

from ptycho_mlf.physics.floor import constant_object_floors, fit_train_constant
from ptycho_mlf.physics.model_probe import model_probe
from ptycho_mlf.simulation.measured_probe import measured_probe, read_probe

if "PTYCHO_MLF_MEASURED_PROBE" not in os.environ:
    pytest.skip(
        "needs the measured probe of the earlier study: set PTYCHO_MLF_MEASURED_PROBE to its npz file",
        allow_module_level=True,
    )

PROBE = os.environ["PTYCHO_MLF_MEASURED_PROBE"]
STATISTICS = {"mean": np.mean, "std": np.std, "max": np.max}


def test_probe(acceptance, simulated):
    train, _ = simulated(probe=PROBE)
    for name, statistic in STATISTICS.items():
        acceptance.check(f"probe.run1084.raw.abs_{name}", statistic(np.abs(read_probe(PROBE))))
        acceptance.check(f"probe.run1084.smoothed.abs_{name}", statistic(np.abs(measured_probe(PROBE, 64, 0.5))))
    acceptance.check("probe.run1084.psim_factor", train.probe_norm)
    acceptance.check("probe.run1084.psim_abs_mean", np.abs(train.probe_PNN).mean())
    acceptance.check("probe.run1084.psim_abs_max", np.abs(train.probe_PNN).max())


def test_probe_of_the_earlier_model(acceptance, simulated):
    train, _ = simulated(probe=PROBE)
    ratio = model_probe(train.probe_PNN, train.probe_norm, "div4").abs().sum() / np.abs(train.probe_PNN).sum()
    acceptance.check("probe.model_to_simulation_ratio_legacy", ratio)


def test_intensity_scale_is_that_of_the_train_split(acceptance, simulated):
    for scan in simulated(probe=PROBE):
        acceptance.check("scale.s.run1084", scan.intensity_scale)
    light = np.abs(scan.probe_PNN[0]).astype(np.float64) ** 2
    energy = (np.abs(scan.truth_patches(slice(None))) ** 2 * light).sum(axis=(2, 3), dtype=np.float64).mean()
    acceptance.check("scale.s.run1084.test_if_recomputed", np.sqrt(1e9 / energy))


def test_illuminated_amplitude(acceptance, simulated):
    train, _ = simulated(probe=PROBE)
    light = np.abs(train.probe_PNN[0])
    illuminated = np.abs(train.truth_patches(slice(None))) * light
    acceptance.check("Y_I.train.mean", illuminated.mean(dtype=np.float64))
    acceptance.check("Y_I.train.std", illuminated.std(dtype=np.float64))
    acceptance.check("Y_I.train.max", illuminated.max())


def test_diffraction(acceptance, simulated):
    noisy, test = simulated(probe=PROBE)
    X = noisy.amplitude_nCNN
    for name, statistic in STATISTICS.items():
        acceptance.check(f"X.train.{name}", statistic(X.astype(np.float64)))
    acceptance.check("X.test.mean", test.amplitude_nCNN.mean(dtype=np.float64))
    acceptance.check("X.max_count", (float(X.max()) * noisy.intensity_scale) ** 2)
    clean, _ = simulated(probe=PROBE, noise="none")
    difference = np.abs(X - clean.amplitude_nCNN).mean(dtype=np.float64)
    acceptance.check("X.noise_rel_l1", difference / clean.amplitude_nCNN.mean(dtype=np.float64))


@pytest.mark.parametrize("set_phi", [False, True])
@pytest.mark.parametrize("images", [1, 2])
def test_constant_object_floor(acceptance, simulated, images, set_phi):
    settings = {"nimgs_train": images, "nimgs_test": images, "set_phi": set_phi}
    train, test = simulated(probe=PROBE, noise="none", **settings)
    constant = fit_train_constant(train.amplitude_nCNN, train.probe_PNN, 16)
    floors = constant_object_floors(test.amplitude_nCNN, test.probe_PNN, 16, constant)
    prefix = f"floor.run1084.nimgs{images}.{'set_phi' if set_phi else 'phi0'}"
    acceptance.check(f"{prefix}.floor_best_test", floors.best)
    acceptance.check(f"{prefix}.floor_train", floors.train)
    acceptance.check(f"{prefix}.floor_transfer_test", floors.transfer)
