"""The dataset cache: one build however many ask, and no damaged entry is ever used."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from filelock import FileLock

from ptycho_mlf.config import DataConfig, InputError
from ptycho_mlf.simulation import dataset_key, load_or_simulate, simulate
from ptycho_mlf.simulation.cache import CACHE_VARIABLE, cache_folder

SMALL = DataConfig(N=16, size=48)


def _same(scan, other):
    assert scan.content_hash == other.content_hash
    assert (scan.grid, scan.intensity_scale, scan.probe_norm) == (other.grid, other.intensity_scale, other.probe_norm)
    np.testing.assert_array_equal(scan.truth.objects_ISS, other.truth.objects_ISS)
    assert (scan.truth.norm_Y, scan.truth.has_phase) == (other.truth.norm_Y, other.truth.has_phase)
    assert scan.provenance == other.provenance


@pytest.mark.parametrize("settings", [{}, {"set_phi": False, "gridsize": 2, "geometry_seed": 2**70}])
def test_what_is_loaded_is_what_was_simulated(tmp_path, caplog, settings):
    caplog.set_level("INFO", "ptycho_mlf.simulation")
    data = SMALL.model_copy(update=settings)
    built, loaded = load_or_simulate(data, tmp_path), load_or_simulate(data, tmp_path)
    assert [record.message.split()[0] for record in caplog.records] == ["simulating"]
    assert built.key == loaded.key == dataset_key(data)
    for split, scan in zip(("train", "test"), simulate(data), strict=True):
        _same(getattr(built, split), scan)
        _same(getattr(loaded, split), scan)
        assert type(getattr(loaded, split).amplitude_nCNN) is np.ndarray


def test_writing_into_a_loaded_array_does_not_reach_the_cache(tmp_path, caplog):
    load_or_simulate(SMALL, tmp_path).train.amplitude_nCNN[:] = 0
    assert load_or_simulate(SMALL, tmp_path).train.amplitude_nCNN.any()
    assert not caplog.records


def test_an_entry_holds_plain_files_and_a_readable_manifest(tmp_path):
    key = load_or_simulate(SMALL, tmp_path).key
    entry = tmp_path / key
    content = json.loads((entry / "manifest.json").read_text())["content"]
    assert set(content["files"]) | {"manifest.json"} == {path.name for path in entry.iterdir()}
    assert content["train"]["provenance"]["settings"]["N"] == 16
    for name in content["files"]:
        np.load(entry / name, allow_pickle=False)
    assert {path.name for path in tmp_path.iterdir()} == {key, f"{key}.lock"}


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


_DAMAGE = {
    "a flipped bit": lambda entry: _flip(entry / "train_amplitude.npy"),
    "a truncated file": lambda entry: os.truncate(entry / "test_objects.npy", 200),
    "a missing file": lambda entry: (entry / "train_probe.npy").unlink(),
    "a missing manifest": lambda entry: (entry / "manifest.json").unlink(),
    "an empty manifest": lambda entry: (entry / "manifest.json").write_text(""),
    "a changed manifest": lambda entry: (entry / "manifest.json").write_text(
        (entry / "manifest.json").read_text().replace('"has_phase": true', '"has_phase": false')
    ),
    "a manifest of something else": lambda entry: (entry / "manifest.json").write_text('{"a": 1}'),
    "an entry moved to another key": lambda entry: (
        entry.rename(entry.with_name("moved")),
        load_or_simulate(SMALL.model_copy(update={"noise_seed": 8}), entry.parent),
        (entry.parent / dataset_key(SMALL.model_copy(update={"noise_seed": 8}))).rename(entry),
    ),
    "a file in its place": lambda entry: (entry.rename(entry.with_name("moved")), entry.write_text("")),
}


@pytest.mark.parametrize("damage", _DAMAGE.values(), ids=_DAMAGE)
def test_a_damaged_entry_is_moved_aside_and_simulated_again(tmp_path, caplog, damage):
    load_or_simulate(SMALL, tmp_path)
    entry = tmp_path / dataset_key(SMALL)
    for _ in range(2):  # the second time there is already one aside
        damage(entry)
        caplog.clear()
        repaired = load_or_simulate(SMALL, tmp_path)
        (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
        assert "simulating it again" in warning.message
        assert "\n" not in warning.message
        assert (tmp_path / f"{entry.name}.damaged").exists()
        for split, scan in zip(("train", "test"), simulate(SMALL), strict=True):
            _same(getattr(repaired, split), scan)
        moved = tmp_path / "moved"
        if moved.exists():
            (tmp_path / "moved").rename(tmp_path / "moved.1")
            break


def test_what_a_killed_build_left_is_swept_up(tmp_path):
    left = tmp_path / f"{dataset_key(SMALL)}.building"
    left.mkdir(parents=True)
    (left / "train_amplitude.npy").write_bytes(b"half")
    load_or_simulate(SMALL, tmp_path)
    assert not left.exists()


_ASK = """
import logging, sys
from pathlib import Path
from ptycho_mlf.config import DataConfig
from ptycho_mlf.simulation import load_or_simulate
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
print("ready", flush=True)
sys.stdin.readline()
print("hash", load_or_simulate(DataConfig(N=16, size=200), Path(sys.argv[1])).train.content_hash)
"""


def test_eight_processes_that_ask_at_once_build_once(tmp_path):
    key, folder = dataset_key(DataConfig(N=16, size=200)), tmp_path / "not" / "yet"
    command = [sys.executable, "-c", _ASK, str(folder)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate() for process in processes]
    waits = f"ptycho_mlf: waiting for the process that simulates dataset {key} (it holds {folder / key}.lock)\n"
    assert {error for _, error in outputs} <= {"", waits}
    assert sum("simulating dataset" in out for out, _ in outputs) == 1
    assert len({out.split("hash ")[1] for out, _ in outputs}) == 1


def test_who_waits_for_another_process_says_so_once(tmp_path):
    """The other one here is this process, which lets go when it has read the line."""
    lock = tmp_path / f"{dataset_key(DataConfig(N=16, size=200))}.lock"
    command = [sys.executable, "-c", _ASK, str(tmp_path)]
    with FileLock(lock):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=-1, stderr=-1, text=True)
        process.stdin.write("\n")
        process.stdin.flush()
        line = process.stderr.readline()
    assert line == f"ptycho_mlf: waiting for the process that simulates dataset {lock.stem} (it holds {lock})\n"
    output, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert "hash " in output


def test_a_folder_that_cannot_be_used_is_named_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as error:
        load_or_simulate(SMALL, tmp_path / "file" / "cache")
    assert str(tmp_path / "file" / "cache") in str(error.value)
    assert CACHE_VARIABLE in str(error.value)
    assert "\n" not in str(error.value)


def test_the_folder_is_the_argument_or_the_variable_or_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "variable"))
    assert cache_folder(tmp_path / "argument") == tmp_path / "argument"
    load_or_simulate(SMALL)
    assert (tmp_path / "variable" / dataset_key(SMALL) / "manifest.json").exists()
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert cache_folder(None).is_relative_to(tmp_path / "home")
