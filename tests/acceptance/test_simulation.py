"""Objects, scan grid, built-in probes, scales and diffraction of the standard scans."""

import numpy as np
import pytest

from ptycho_mlf.config import DataConfig
from ptycho_mlf.simulation.normalisation import intensity_scale, object_norm
from ptycho_mlf.simulation.objects import object_amplitudes
from ptycho_mlf.simulation.phase import phase_of
from ptycho_mlf.simulation.probes import central_mask, simulation_probe, zone_plate
from ptycho_mlf.simulation.scan_grid import scan_grid
from ptycho_mlf.simulation.streams import geometry_stream

SPLITS = ("train", "test")
STATISTICS = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max}


@pytest.fixture(scope="module")
def amplitudes():
    """Two objects of either split, drawn once."""
    return {split: object_amplitudes("lines", 392, 2, geometry_stream("legacy", split)) for split in SPLITS}


@pytest.mark.parametrize("split", SPLITS)
def test_object_amplitude(acceptance, amplitudes, split):
    for name, statistic in STATISTICS.items():
        acceptance.check(f"object.{split}0.amp_{name}", statistic(amplitudes[split][0]))


@pytest.mark.parametrize("split", SPLITS)
def test_object_phase(acceptance, amplitudes, split):
    for name, statistic in STATISTICS.items():
        acceptance.check(f"phase.{split}0.{name}", statistic(phase_of(amplitudes[split][:1])))


def test_counts(acceptance):
    for item in acceptance.ids("counts."):
        N, gridsize, *images = item.removeprefix("counts.").split("_")
        number = int(images[0].removeprefix("nimgs")) if images else 1
        data = DataConfig(N=N[1:], gridsize=gridsize[2:], nimgs_train=number, nimgs_test=number)
        acceptance.check(item, [scan_grid(data, split).patterns for split in SPLITS])


def test_object_norm(acceptance, amplitudes):
    for item in acceptance.ids("norm_Y."):
        _, split, N, images = item.split(".")
        data = DataConfig(N=N[1:])
        stack = amplitudes[split][: int(images.removeprefix("nimgs"))]
        acceptance.check(item, object_norm(stack, data.N, scan_grid(data, split), 1))


@pytest.mark.parametrize("N", [32, 64, 128])
@pytest.mark.parametrize("name", ["zone_plate", "disk"])
def test_built_in_probe(acceptance, name, N):
    probe, _ = simulation_probe(DataConfig(N=N, probe=name))
    size = np.abs(probe.astype(np.complex128))
    acceptance.check(f"probe.{name}.N{N}.abs_mean", size.mean())
    acceptance.check(f"probe.{name}.N{N}.abs_std", size.std())
    acceptance.check(f"probe.{name}.N{N}.abs_max", size.max())
    acceptance.check(f"probe.{name}.N{N}.energy", (size**2).sum())
    acceptance.check("probe.masked_mean", (size * central_mask(N)).mean())


def test_zone_plate_values(acceptance):
    for N in (32, 64, 128):
        acceptance.check(f"probe.zone_plate.N{N}.centre_before_norm", abs(zone_plate(N)[N // 2, N // 2]))
    probe, _ = simulation_probe(DataConfig(N=64))
    for column in (32, 48):
        value = probe[32, column]
        acceptance.check(f"probe.zone_plate.N64.value_32_{column}", [value.real, value.imag])


@pytest.mark.parametrize("N", [32, 64, 128])
@pytest.mark.parametrize("name", ["zone_plate", "disk"])
def test_intensity_scale(acceptance, amplitudes, name, N):
    data = DataConfig(N=N, probe=name)
    grid, amplitude = scan_grid(data, "train"), amplitudes["train"][:1]
    probe, _ = simulation_probe(data)
    Y = amplitude / object_norm(amplitude, N, grid, 1)
    s = intensity_scale(Y, probe.astype(np.complex128), grid, 1, data.nphotons)
    acceptance.check(f"scale.s.{name}.N{N}", s)


def test_noiseless_diffraction(acceptance, simulated):
    train, test = simulated(noise="none")
    acceptance.check("X.noiseless.zone_plate.train.mean", train.amplitude_nCNN.mean(dtype=np.float64))
    acceptance.check("X.noiseless.zone_plate.test.mean", test.amplitude_nCNN.mean(dtype=np.float64))
    acceptance.check("scale.s.zone_plate.N64", train.intensity_scale)
    acceptance.check("scale.s.zone_plate.N64", test.intensity_scale)
    acceptance.check("norm_Y.train.N64.nimgs1", train.truth.norm_Y)
    acceptance.check("norm_Y.test.N64.nimgs1", test.truth.norm_Y)


def test_photon_counts(acceptance, simulated):
    train, test = simulated()
    acceptance.check("counts.N64_gs1", [len(train.amplitude_nCNN), len(test.amplitude_nCNN)])
    for scan in (train, test):
        counts = (scan.amplitude_nCNN.astype(np.float64) * scan.intensity_scale) ** 2
        nearest = np.rint(counts)
        acceptance.check("X.counts_are_integers", (np.abs(counts - nearest) / np.maximum(nearest, 1)).max())
    counts = (train.amplitude_nCNN.astype(np.float64) * train.intensity_scale) ** 2
    acceptance.check("X.mean_count_per_px", counts.mean())


def test_patch_centres(acceptance, simulated):
    train, test = simulated()
    acceptance.check("coords.first_centre", train.centres_nC2[0, 0])
    acceptance.check("coords.first_centre", test.centres_nC2[0, 0])
    for last in train.centres_nC2[-1, 0]:
        acceptance.check("coords.last_train_centre", last)
