"""Scan files of the earlier study's schema: what is read, what is only mapped, what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptycho_mlf.config import InputError
from ptycho_mlf.runs.scan_file import read_scan

N, STRIDE, ROWS, COLUMNS = 16, 6, 3, 4


def arrays(channels: int = 1, images: int = 1) -> dict[str, Any]:
    """Objects whose pixels are all different, patterns that tell their own index, centres by hand."""
    random = np.random.default_rng(0)
    n = images * ROWS * COLUMNS
    first = [(STRIDE * row, STRIDE * column) for _ in range(images) for row in range(ROWS) for column in range(COLUMNS)]
    offsets = [(0, 0), (0, 4), (4, 0), (4, 4)][:channels]
    centres = [[[r + dr + 7.5 for dr, _ in offsets], [c + dc + 7.5 for _, dc in offsets]] for r, c in first]
    patterns = np.arange(n * channels).reshape(n, 1, 1, channels) + random.random((n, N, N, channels)) / 2
    objects = random.random((images, 42, 42, 1)) * np.exp(1j * random.random((images, 42, 42, 1)))
    return {
        "diffraction": patterns.astype(np.float32),
        "coords_offsets": np.array(centres, np.float32)[:, None],
        "YY_full": objects.astype(np.complex64),
        "_metadata": np.array(["never read"], object),
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(save: Callable[..., None] = np.savez, **given: Any) -> Path:
        path = tmp_path / "scan.npz"
        save(path, **{name: array for name, array in given.items() if array is not None})
        return path

    return write


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(("channels", "images"), [(1, 1), (4, 1), (1, 2)])
def test_what_a_file_holds(write: Callable[..., Path], save: Callable[..., None], channels: int, images: int):
    given = arrays(channels, images)
    scan = read_scan(write(save, **given))
    want = np.moveaxis(given["diffraction"], -1, 1)
    np.testing.assert_array_equal(scan.amplitude_nCNN, want)
    assert (scan.grid.images, scan.grid.rows, scan.grid.columns, scan.grid.stride) == (images, ROWS, COLUMNS, STRIDE)
    assert scan.corners_nC2[COLUMNS + 1].tolist() == [[6, 6], [6, 10], [10, 6], [10, 10]][:channels]
    # The truth, in units of the mean over patches of the largest amplitude in each.
    assert scan.truth is not None
    image_n = np.repeat(np.arange(images), ROWS * COLUMNS)
    patches = np.array(
        [
            [given["YY_full"][image, r : r + N, c : c + N, 0] for r, c in corners]
            for image, corners in zip(image_n, scan.corners_nC2, strict=True)
        ]
    )
    norm = np.abs(patches).max(axis=(-2, -1)).mean()
    np.testing.assert_allclose(scan.truth_patches(slice(None)), patches / norm, rtol=1e-6)
    assert scan.truth.has_phase


def test_patterns_of_an_uncompressed_file_stay_there(write: Callable[..., Path]):
    path = write(**arrays())
    scan = read_scan(path)
    assert not scan.amplitude_nCNN.flags.owndata
    # What is written to the file now is seen: nothing was read into memory.
    index = path.read_bytes().find(arrays()["diffraction"].tobytes())
    with path.open("r+b") as file:
        file.seek(index)
        file.write(np.float32(77).tobytes())
    assert scan.amplitude_nCNN[0, 0, 0, 0] == 77


def test_a_real_object_has_no_phase(write: Callable[..., Path]):
    given = arrays()
    truth = read_scan(write(**{**given, "YY_full": np.abs(given["YY_full"])})).truth
    assert truth is not None
    assert not truth.has_phase
    assert read_scan(write(**{**given, "YY_full": None})).truth is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"diffraction": None}, "no npz file with the key 'diffraction'"),
        ({"coords_offsets": None}, "no npz file with the key 'coords_offsets'"),
        ({"diffraction": np.ones((12, 16, 15, 1), np.float32)}, "must be (n, N, N, C)"),
        ({"diffraction": np.ones((12, 16, 16), np.float32)}, "must be (n, N, N, C)"),
        ({"diffraction": np.ones((12, 16, 16, 1), np.complex64)}, "must be real numbers"),
        ({"diffraction": np.full((12, 16, 16, 1), np.nan)}, "must be finite"),
        ({"diffraction": np.array([[[["code"]]]], object)}, "no npz file of numbers"),
        ({"coords_offsets": np.ones((12, 2))}, "must be (12, 1, 2, 1)"),
        ({"coords_offsets": arrays()["coords_offsets"] + 0.5}, "pixel grid"),
        ({"coords_offsets": arrays()["coords_offsets"] * np.nan}, "pixel grid"),
        ({"coords_offsets": np.full((12, 1, 2, 1), 7.5)}, "must be a raster"),
        ({"coords_offsets": arrays()["coords_offsets"] ** 2 * 4 + 0.5}, "must be a raster"),
        ({"YY_full": np.ones((1, 20, 20, 1))}, "hold every patch"),
        ({"YY_full": np.ones((2, 42, 42, 1))}, "must be (1, S, S, 1)"),
        ({"YY_full": np.full((1, 42, 42, 1), np.inf)}, "finite"),
        ({"YY_full": np.zeros((1, 42, 42, 1))}, "zero"),
    ],
)
def test_refuses_what_cannot_be_reconstructed(write: Callable[..., Path], change: dict[str, Any], message: str):
    with pytest.raises(InputError) as refused:
        read_scan(write(**{**arrays(), **change}))
    assert message in str(refused.value)
    assert str(refused.value).startswith("input=")


def test_refuses_files_of_another_kind(tmp_path: Path):
    for content in (b"", b"PK\x03\x04 and no more", np.arange(9.0).tobytes()):
        path = tmp_path / "other.npz"
        path.write_bytes(content)
        with pytest.raises(InputError, match="input="):
            read_scan(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_scan(tmp_path / "missing.npz")
