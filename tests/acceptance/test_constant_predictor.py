"""Ground-truth crop and the scores of the constant predictor on the `lines` test object.

The object is drawn here from its published recipe, so that a wrong simulation cannot make a wrong score look right.
"""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.draw import line

from ptycho_mlf.evaluation.evaluate import evaluate
from ptycho_mlf.evaluation.ground_truth import ground_truth
from ptycho_mlf.evaluation.stitching import stitch
from ptycho_mlf.scan import Scan, ScanGrid, Truth

SIZE, STRIDE = 392, 10


@pytest.fixture(scope="module")
def lines() -> np.ndarray:
    """Amplitude of test image 0: 400 random lines at three widths, drawn on a double canvas and cropped."""
    random, side = np.random.RandomState(2), 2 * SIZE
    canvas = np.zeros((side, side))
    for _ in range(400):
        canvas[line(*(int(side * random.rand()) for _ in range(4)))] = 1
    amp = sum(weight * gaussian_filter(canvas, sigma) for sigma, weight in ((1, 1), (5, 2), (10, 5)))
    return amp[SIZE // 2 : -SIZE // 2, SIZE // 2 : -SIZE // 2]


def with_phase(amp: np.ndarray) -> np.ndarray:
    return amp * np.exp(1j * np.pi * np.tanh((amp - amp.max() / 2) / (3 * amp.mean())))


def scan_of(obj: np.ndarray, N: int, gridsize: int = 1, has_phase: bool = True) -> Scan:
    window = N + 4 * (gridsize - 1)
    k = (SIZE - window) // STRIDE + 1
    corners_n2 = STRIDE * np.argwhere(np.ones((k, k)))
    offsets_C2 = 4 * np.argwhere(np.ones((gridsize, gridsize)))
    corners_nC2 = corners_n2[:, None] + offsets_C2
    amp_nWW = np.lib.stride_tricks.sliding_window_view(np.abs(obj), (N, N))[corners_nC2[..., 0], corners_nC2[..., 1]]
    return Scan(
        amplitude_nCNN=np.broadcast_to(np.float32(0), (k * k, gridsize**2, N, N)),
        corners_nC2=corners_nC2.astype(np.int32),
        grid=ScanGrid(1, k, k, STRIDE),
        probe_PNN=np.ones((1, N, N), np.complex64),
        probe_norm=1.0,
        intensity_scale=1.0,
        truth=Truth(obj[None].astype(np.complex64), float(amp_nWW.max(axis=(2, 3)).mean()), has_phase),
    )


@pytest.mark.parametrize(("N", "gridsize"), [(32, 1), (64, 1), (128, 1), (64, 2)])
def test_ground_truth_is_what_true_patches_stitch_to(acceptance, lines, N, gridsize):
    scan = scan_of(with_phase(lines), N, gridsize)
    assert scan.truth is not None
    truth = ground_truth(scan)
    acceptance.check(f"gt.shape.N{N}", truth.shape)
    stitched = stitch(scan.truth_patches(slice(None)), scan) * scan.truth.norm_Y
    np.testing.assert_allclose(stitched, truth, rtol=2e-7)


def test_trimmed_truth(acceptance, lines):
    amp = np.abs(ground_truth(scan_of(lines, 64)))[2:-2, 2:-2]
    for name, value in {"mean": amp.mean(), "std": amp.std(), "range": np.ptp(amp)}.items():
        acceptance.check(f"gt.trimmed.amp_{name}", value)


@pytest.mark.parametrize("scale", [1.0, 0.37 * np.exp(2j)])
def test_constant_predictor(acceptance, lines, scale):
    """Whatever its constant, a collapsed network has these scores."""
    scan = scan_of(with_phase(lines), 64)
    result = evaluate(np.full(scan.amplitude_nCNN.shape, scale, np.complex64), scan)
    acceptance.check("constant.phase_range", result.data_ranges["phase"])
    acceptance.check("gt.trimmed.amp_range", result.data_ranges["amp"])
    acceptance.check("constant.phase_std", result.constant.truth_phase.std())
    for name in ("mae_amp", "mse_amp", "psnr_amp", "mae_phase", "mse_phase", "psnr_phase", "ssim_phase"):
        acceptance.check(f"constant.{name}", result.metrics[name])
        acceptance.check(f"constant.{name}", result.metrics[f"constant_{name}"])
    for name in ("ssim_amp", "psnr_amp", "ssim_phase"):
        acceptance.check(f"constant.legacy_{name}", result.legacy[name])
        acceptance.check(f"constant.legacy_{name}", result.legacy[f"constant_{name}"])
    acceptance.check("constant.legacy_ssim_amp", result.metrics["ssim_amp"])
    assert result.legacy["psnr_phase"] == pytest.approx(60.51, abs=0.005)
    assert result.metrics["skill_ssim_amp"] == pytest.approx(0, abs=1e-6)
    assert result.metrics["pearson_amp"] == 0


def test_a_real_object_scores_no_phase(lines):
    """The legacy phase SSIM of the constant would read 1.000 here, which is why it is withheld."""
    scan = scan_of(lines, 64, has_phase=False)
    result = evaluate(np.ones(scan.amplitude_nCNN.shape, np.complex64), scan)
    phase = [name for name in result.metrics if name.endswith("_phase")]
    assert phase
    assert all(result.metrics[name] is None and result.reasons[name] == "vacuous" for name in phase)
    assert result.legacy["ssim_phase"] is None
    assert result.metrics["ssim_amp"] == pytest.approx(0.27711, abs=1e-4)
