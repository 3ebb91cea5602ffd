"""Probe files: what is read, what is refused, and what is done to a measured probe."""

import pickle

import numpy as np
import pytest

from ptycho_mlf.config import DataConfig, InputError
from ptycho_mlf.simulation.measured_probe import measured_probe, read_probe
from ptycho_mlf.simulation.probes import simulation_probe


def _probe(side=16, seed=0):
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:side, :side] - side / 2
    return np.exp(-(row**2 + column**2) / side**1.5) * np.exp(0.02j * (row**2 + 2 * column**2)) + 0.01 * rng.random()


def test_npy_npz_and_the_named_key_are_read(tmp_path):
    probe = _probe()
    np.save(tmp_path / "a.npy", probe)
    np.savez_compressed(tmp_path / "b.npz", anything=probe.astype(np.complex64), energy=np.float64(8.0))
    np.savez(tmp_path / "c.npz", other=2 * probe, probeGuess=probe)
    np.testing.assert_array_equal(read_probe(str(tmp_path / "a.npy")), probe)
    np.testing.assert_array_equal(read_probe(str(tmp_path / "b.npz")), probe.astype(np.complex64))
    np.testing.assert_array_equal(read_probe(str(tmp_path / "c.npz")), probe)


def _with(value):
    probe = _probe()
    probe[3, 4] = value
    return probe


_REFUSED = {
    "square": (_probe()[:, :8], "shape is (16, 8)"),
    "one of a stack": (_probe()[None], "shape is (1, 16, 16)"),
    "real": (np.abs(_probe()), "one complex array"),
    "nan": (_with(np.nan), "NaN or infinite"),
    "inf": (_with(complex(0, np.inf)), "NaN or infinite"),
    "zeros": (np.zeros((16, 16), complex), "all its values are zero"),
    "large": (_probe(34), "larger than N=32"),
}


@pytest.mark.parametrize(("array", "rule"), _REFUSED.values(), ids=_REFUSED)
def test_wrong_arrays_are_refused_in_one_line(tmp_path, array, rule):
    for name, save in {"p.npy": np.save, "p.npz": np.savez}.items():
        path = tmp_path / name
        save(path, array)
        with pytest.raises(InputError) as error:
            simulation_probe(DataConfig(N=32, probe=str(path)))
        assert rule in str(error.value)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("pickled code ran",))


def _write_pickled_npz(path):
    np.savez(path, probeGuess=np.array([_Bomb()], dtype=object))


def _write_truncated_npz(path):
    np.savez_compressed(path, probeGuess=_probe())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _write_rotten_npz(path):
    np.savez(path, probeGuess=_probe())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _write_truncated_npy(path):
    with path.open("wb") as file:
        np.save(file, _probe())
    path.write_bytes(path.read_bytes()[:-100])


_WRITERS = {
    "pickle": lambda path: path.write_bytes(pickle.dumps(_Bomb())),
    "pickled npz": _write_pickled_npz,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("probe\n"),
    "truncated npz": _write_truncated_npz,
    "truncated npy": _write_truncated_npy,
    "rotten npz": _write_rotten_npz,
    "npz of text": lambda path: path.write_bytes(b"PK\x03\x04" + b"x" * 100),
    "folder": lambda path: path.mkdir(),
    "nothing": lambda path: None,
    "two arrays": lambda path: np.savez(path, a=_probe(), b=_probe()),
    "no array": lambda path: np.savez(path),
}


@pytest.mark.parametrize("write", _WRITERS.values(), ids=_WRITERS)
def test_wrong_files_are_refused_in_one_line(tmp_path, write):
    path = tmp_path / "probe.npz"
    write(path)
    with pytest.raises(InputError) as error:
        read_probe(str(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_probe_dark_at_the_centre_is_refused(tmp_path):
    probe = np.zeros((16, 16), complex)
    probe[0] = 1
    np.save(tmp_path / "p.npy", probe)
    with pytest.raises(InputError, match=r"zero within N // 4 = 4 px"):
        simulation_probe(DataConfig(N=16, probe=str(tmp_path / "p.npy"), probe_smoothing=0))


def test_without_smoothing_only_rounding_and_padding_is_done(tmp_path):
    probe = _probe(16)
    np.save(tmp_path / "p.npy", probe)
    for N in (16, 24, 64):
        padded = measured_probe(str(tmp_path / "p.npy"), N, 0.0)
        inside = slice(N // 2 - 8, N // 2 + 8)
        np.testing.assert_allclose(padded[inside, inside], probe, atol=1e-7)
        assert np.count_nonzero(padded) == 256


def test_an_odd_probe_keeps_its_centre_pixel(tmp_path):
    probe = np.zeros((7, 7), complex)
    probe[3, 3] = 1
    np.save(tmp_path / "p.npy", probe)
    assert measured_probe(str(tmp_path / "p.npy"), 32, 0.0)[16, 16] == 1


def test_smoothing_goes_over_amplitude_and_unwrapped_phase_apart(tmp_path):
    """A phase ramp of many turns and an amplitude ramp are fixed points of a symmetric filter away from the edges."""
    row, column = np.mgrid[:32, :32]
    probe = (1 + 0.1 * row) * np.exp(1j * (0.9 * row - 0.7 * column))
    np.save(tmp_path / "p.npy", probe)
    smooth = measured_probe(str(tmp_path / "p.npy"), 32, 1.0)
    np.testing.assert_allclose(smooth[4:-4, 4:-4], probe[4:-4, 4:-4], atol=1e-5)
    spike = np.full((32, 32), 1 + 0j)
    spike[16, 16] = 2
    np.save(tmp_path / "s.npy", spike)
    weight = 1 / np.exp(-0.5 * np.arange(-4, 5) ** 2).sum()
    assert measured_probe(str(tmp_path / "s.npy"), 32, 1.0)[16, 16] == pytest.approx(1 + weight**2, abs=1e-6)
