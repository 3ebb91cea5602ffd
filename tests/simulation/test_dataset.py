"""Simulated scans against an oracle written out in numpy, and what each setting and seed may change."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from ptycho_mlf.config import DataConfig, InputError
from ptycho_mlf.simulation import dataset_key, simulate
from ptycho_mlf.simulation.objects import object_amplitudes
from ptycho_mlf.simulation.streams import geometry_stream

SMALL = {"N": 16, "size": 64}


def _scanned_by_loops(data):
    """Amplitudes, groups of patches (image, rows, columns) and norm_Y of both splits."""
    amplitude, groups, norm = {}, {}, {}
    for split, images, stride in (
        ("train", data.nimgs_train, data.outer_offset_train // 2),
        ("test", data.nimgs_test, data.outer_offset_test // 2),
    ):
        amplitude[split] = object_amplitudes("lines", data.size, images, geometry_stream("legacy", split))
        starts = range(0, data.size - data.N - (4 if data.gridsize == 2 else 0) + 1, stride)
        steps = (0, 4) if data.gridsize == 2 else (0,)
        groups[split] = [
            [(image, slice(r + i, r + i + data.N), slice(c + j, c + j + data.N)) for i in steps for j in steps]
            for image in range(images)
            for r in starts
            for c in starts
        ]
        norm[split] = np.mean([[amplitude[split][patch].max() for patch in group] for group in groups[split]])
    return amplitude, groups, norm


@pytest.mark.parametrize("settings", [{}, {"gridsize": 2}, {"nimgs_train": 2, "nimgs_test": 2, "nphotons": 1e4}])
@pytest.mark.parametrize("set_phi", [True, False])
def test_noiseless_scans_are_those_of_the_oracle(settings, set_phi):
    data = DataConfig(**SMALL, noise="none", set_phi=set_phi, **settings)
    train, test = simulate(data)
    probe = train.probe_PNN[0].astype(np.complex128)
    amplitude, groups, norm = _scanned_by_loops(data)
    Y, light = amplitude["train"] / norm["train"], np.abs(probe) ** 2
    energy = [[(Y[patch] ** 2 * light).sum() for patch in group] for group in groups["train"]]
    s = np.sqrt(data.nphotons / np.mean(energy))
    for scan, split in ((train, "train"), (test, "test")):
        A = amplitude[split]
        phi = np.pi * np.tanh((A - A.max() / 2) / (3 * A.mean())) if set_phi else np.zeros_like(A)
        psi = np.array([[s * A[p] / norm[split] * np.exp(1j * phi[p]) * probe for p in g] for g in groups[split]])
        expected = np.abs(np.fft.fftshift(np.fft.fft2(psi, norm="ortho"), axes=(2, 3))) / s
        np.testing.assert_allclose(scan.amplitude_nCNN, expected, rtol=1e-6, atol=1e-7)
        assert scan.intensity_scale == pytest.approx(s, rel=1e-12)  # the probe is the rounded one, and s is the train's
        assert scan.truth.norm_Y == pytest.approx(norm[split], rel=1e-14)
        np.testing.assert_allclose(scan.truth.objects_ISS, A * np.exp(1j * phi), rtol=1e-6)
        assert scan.truth.has_phase is set_phi
        assert set_phi or not scan.truth.objects_ISS.imag.any()
        # truth and scan are about the same patches
        exit_wave = scan.truth_patches(slice(None)) * probe
        again = np.abs(np.fft.fftshift(np.fft.fft2(exit_wave, norm="ortho"), axes=(2, 3)))
        np.testing.assert_allclose(scan.amplitude_nCNN, again, rtol=1e-4, atol=1e-6)


def test_the_mean_train_pattern_has_nphotons_and_the_test_patterns_the_same_beam():
    data = DataConfig(**SMALL, nphotons=1e6)
    for scan, exact in zip(simulate(data), (True, False), strict=True):
        counts = (scan.amplitude_nCNN.astype(np.float64) * scan.intensity_scale) ** 2
        assert np.abs(counts - np.rint(counts)).max() <= 1e-5 * counts.max()
        photons = counts.sum(axis=(1, 2, 3)).mean()
        # Poisson: the total of n patterns has the relative deviation 1 / sqrt(n * nphotons).
        assert bool(abs(photons / 1e6 - 1) < 5 / np.sqrt(len(counts) * 1e6)) is exact
        assert photons == pytest.approx(1e6, rel=0.2)


def test_noise_is_photon_noise_on_the_noiseless_scan():
    noisy, _ = simulate(DataConfig(**SMALL, nphotons=1e6))
    clean, _ = simulate(DataConfig(**SMALL, nphotons=1e6, noise="none"))
    expected = (clean.amplitude_nCNN.astype(np.float64) * clean.intensity_scale) ** 2
    counts = (noisy.amplitude_nCNN.astype(np.float64) * noisy.intensity_scale) ** 2
    bright = expected > 10
    z = (counts - expected)[bright] / np.sqrt(expected[bright])
    assert abs(z.mean()) < 5 / np.sqrt(z.size)
    assert z.std() == pytest.approx(1, abs=0.02)


def _fields(scan):
    return {
        "X": scan.amplitude_nCNN.tobytes(),
        "objects": scan.truth.objects_ISS.tobytes(),
        "probe": scan.probe_PNN.tobytes(),
        "scale": scan.intensity_scale,
    }


def test_noise_seed_changes_the_noise_only():
    base, other = simulate(DataConfig(**SMALL)), simulate(DataConfig(**SMALL, noise_seed=1))
    again = simulate(DataConfig(**SMALL))
    for one, two, same in zip(base, other, again, strict=True):
        changed = {name for name, value in _fields(one).items() if value != _fields(two)[name]}
        assert changed == {"X"}
        assert _fields(one) == _fields(same)
        assert one.content_hash == same.content_hash != two.content_hash


def test_train_and_test_draw_from_streams_of_their_own():
    """More train objects leave every test draw as it is, and the noise of one split is not that of the other."""
    few, many = simulate(DataConfig(**SMALL, nimgs_test=1)), simulate(DataConfig(**SMALL, nimgs_test=3))
    assert _fields(few[0]) == _fields(many[0])
    geometry = simulate(DataConfig(**SMALL, geometry_seed=0)), simulate(DataConfig(**SMALL, geometry_seed=1))
    assert len({scan.truth.objects_ISS.tobytes() for pair in geometry for scan in pair}) == 4


def _changes(tmp_path):
    np.save(tmp_path / "probe.npy", np.exp(0.1j * np.arange(256).reshape(16, 16)) * np.hanning(16)[:, None])
    probe = {"probe": str(tmp_path / "probe.npy")}
    return [
        ({}, {"N": 32}),
        ({}, {"gridsize": 2}),
        ({}, {"object": "disks"}),
        ({}, {"size": 66}),
        ({}, {"nimgs_train": 2}),
        ({}, {"nimgs_test": 2}),
        ({}, {"set_phi": False}),
        ({}, {"nphotons": 1e8}),
        ({}, {"noise": "none"}),
        ({}, {"probe": "disk"}),
        ({}, probe),
        (probe, {**probe, "probe_smoothing": 1.0}),
        ({}, {"outer_offset_train": 6}),
        ({}, {"outer_offset_test": 18}),
        ({}, {"geometry_seed": 0}),
        ({}, {"noise_seed": 1}),
    ]


HOLD_OUT = {"train_patterns": 5, "val_fraction": 0.3, "val_guard_rows": 1, "split_seed": 4}


def test_every_generating_setting_changes_key_and_data(tmp_path):
    changes = _changes(tmp_path)
    assert {name for _, change in changes for name in change} | set(HOLD_OUT) == set(DataConfig.model_fields)
    for base, change in changes:
        before, after = (DataConfig(**{**SMALL, **settings}) for settings in (base, change))
        assert dataset_key(before) != dataset_key(after), change
        contents = [[scan.content_hash for scan in simulate(data)] for data in (before, after)]
        assert contents[0] != contents[1], change


@pytest.mark.parametrize("name", HOLD_OUT)
def test_hold_out_settings_change_neither_key_nor_data(name):
    before, after = DataConfig(**SMALL), DataConfig(**SMALL, **{name: HOLD_OUT[name]})
    assert dataset_key(before) == dataset_key(after)
    assert [s.content_hash for s in simulate(before)] == [s.content_hash for s in simulate(after)]


def test_a_probe_file_counts_by_its_content(tmp_path):
    for name, factor in (("a.npy", 1), ("b.npy", 1), ("c.npy", 2)):
        np.save(tmp_path / name, factor * np.ones((16, 16), complex))
    a, b, c = (dataset_key(DataConfig(**SMALL, probe=str(tmp_path / name))) for name in ("a.npy", "b.npy", "c.npy"))
    assert a == b != c
    with pytest.raises(InputError, match=r"no readable file"):
        dataset_key(DataConfig(**SMALL, probe=str(tmp_path / "none.npy")))


def test_library_versions_are_part_of_the_key(monkeypatch):
    before = dataset_key(DataConfig())
    monkeypatch.setattr("ptycho_mlf.simulation.dataset.metadata.version", lambda name: "0")
    assert dataset_key(DataConfig()) != before


def test_another_process_finds_the_same_key_and_content():
    code = (
        "from ptycho_mlf.config import DataConfig; from ptycho_mlf.simulation import dataset_key, simulate\n"
        f"data = DataConfig(**{SMALL}); print(dataset_key(data), *[scan.content_hash for scan in simulate(data)])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    other = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    data = DataConfig(**SMALL)
    assert other.stdout.split() == [dataset_key(data), *[scan.content_hash for scan in simulate(data)]]


def test_provenance_says_how_it_was_made(tmp_path):
    probe = tmp_path / "p.npy"
    np.save(probe, np.ones((16, 16), complex))
    train, test = simulate(DataConfig(**SMALL, probe=str(probe), geometry_seed=2**70, noise_seed=9))
    for scan, split, child in ((train, "train", 0), (test, "test", 1)):
        told = json.loads(json.dumps(scan.provenance))
        assert told["split"] == split
        assert told["settings"]["probe"] == f"sha256:{hashlib.sha256(probe.read_bytes()).hexdigest()}"
        assert set(told["settings"]) == set(DataConfig.model_fields) - set(HOLD_OUT)
        assert told["seeds"] == {
            "geometry": {"entropy": 2**70, "spawn_key": [2, child]},
            "noise": {"entropy": 9, "spawn_key": [3, child]},
        }
        assert told["versions"]["numpy"] == np.__version__
        assert told["norm_Y"] == scan.truth.norm_Y
        assert told["intensity_scale"] == train.intensity_scale
    legacy, _ = simulate(DataConfig(**SMALL, noise="none"))
    assert legacy.provenance["seeds"] == {"geometry": {"mt19937": 1}, "noise": None}


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"N=64: a scan window of 64 px must fit the object, size=48 px"):
        simulate(DataConfig(N=64, size=48))
