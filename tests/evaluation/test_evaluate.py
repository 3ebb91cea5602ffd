import json
from dataclasses import replace

import numpy as np
import pytest

from ptycho_mlf.config import InputError
from ptycho_mlf.evaluation.evaluate import evaluate
from ptycho_mlf.evaluation.frc import Crossing
from ptycho_mlf.evaluation.ground_truth import ground_truth


def patches_like(scan, value):
    return np.full(scan.amplitude_nCNN.shape, value, np.complex64)


def check_consistent(result):
    """Every null has a reason and every reason a null; the JSON is strict and says the same."""
    nulls = {name for name, value in result.metrics.items() if value is None}
    nulls |= {f"legacy/{name}" for name, value in result.legacy.items() if value is None}
    assert nulls == set(result.reasons)
    told = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert told["metrics"] == result.metrics
    assert told["reasons"] == result.reasons
    assert set(told["data_ranges"]) == {"amp", "phase"}
    assert told["alignment_mode"] in ("plane", "mean")


@pytest.fixture
def wide(make_scan):
    """The smallest scan that MS-SSIM accepts: 180 px stitched, 176 px after the trim."""
    return make_scan(N=16, stride=15, rows=12, columns=12)


@pytest.mark.parametrize("gridsize", [1, 2])
def test_the_truth_scores_perfectly(make_scan, gridsize):
    scan = make_scan(16, gridsize, 12, 15, 15)
    result = evaluate(scan.truth_patches(slice(None)), scan)
    check_consistent(result)
    assert result.metrics["amplitude_factor"] == pytest.approx(1, rel=1e-7)
    for kind in ("amp", "phase"):
        for name in ("ssim", "msssim", "pearson", "skill_mae", "skill_ssim", "skill_msssim"):
            assert result.metrics[f"{name}_{kind}"] == pytest.approx(1, abs=1e-6)
        assert result.metrics[f"mae_{kind}"] < 1e-6
        assert result.frc[kind].crossings["0.5"] == Crossing(0.5, 1.0, "censored")
    assert result.metrics["frc50_complex"] == 0.5


def test_an_exact_prediction_has_no_infinite_psnr(make_scan):
    """Without rounding the error is exactly zero; the logarithm must not reach the record."""
    scan = make_scan(stride=6, has_phase=False)
    scan = replace(scan, truth=replace(scan.truth, objects_ISS=np.round(scan.truth.objects_ISS * 8) / 8))
    result = evaluate(scan.truth_patches(slice(None)), scan)
    check_consistent(result)
    assert result.metrics["mse_amp"] == 0
    assert result.reasons["psnr_amp"] == result.reasons["psnr_gain_amp"] == "no_error"
    assert result.metrics["skill_mse_amp"] == 1


def test_invariant_to_global_phase_and_scale_but_for_the_factor(wide, noisy):
    patches = noisy(wide)
    plain = evaluate(patches, wide)
    check_consistent(plain)
    turned = evaluate(patches * np.complex64(0.25 * np.exp(2.5j)), wide)
    assert turned.metrics["amplitude_factor"] == pytest.approx(4 * plain.metrics["amplitude_factor"], rel=1e-6)
    assert None not in plain.metrics.values()
    for name, value in plain.metrics.items():
        if name != "amplitude_factor":
            assert turned.metrics[name] == pytest.approx(value, abs=1e-5), name
    for kind, curve in plain.frc.items():
        np.testing.assert_allclose(turned.frc[kind].correlation, curve.correlation, atol=1e-4)


def test_the_factor_restores_object_units(make_scan, noisy):
    """With the normalisation of the data a good prediction has factor 1: the patches are about 0.75, the object 3."""
    scan = make_scan()
    assert evaluate(noisy(scan, 0.01), scan).metrics["amplitude_factor"] == pytest.approx(1, abs=0.01)
    assert evaluate(4 * noisy(scan, 0.01), scan).metrics["amplitude_factor"] == pytest.approx(0.25, abs=0.01)


def test_mae_and_nmae(make_scan, noisy):
    scan = make_scan()
    result = evaluate(noisy(scan), scan)
    assert result.aligned is not None
    error = result.aligned.amp - result.aligned.truth_amp
    assert result.metrics["mae_amp"] == pytest.approx(np.abs(error).mean(), rel=1e-12)
    assert result.metrics["nmae_amp"] == pytest.approx(np.abs(error).mean() / scan.truth.norm_Y, rel=1e-12)
    assert result.metrics["skill_nmae_amp"] == pytest.approx(result.metrics["skill_mae_amp"], rel=1e-12)
    assert "nmae_phase" not in result.metrics


@pytest.mark.parametrize("rounding", [0.0, 3e-8])
def test_a_collapsed_network_scores_like_the_constant(wide, rounding):
    random = np.random.default_rng(0)
    patches = patches_like(wide, 0.3 * np.exp(1j)) * (1 + rounding * random.standard_normal(wide.amplitude_nCNN.shape))
    result = evaluate(patches.astype(np.complex64), wide)
    check_consistent(result)
    for kind in ("amp", "phase"):
        for name in ("mae", "mse", "psnr", "ssim", "msssim", "pearson"):
            value, constant = result.metrics[f"{name}_{kind}"], result.metrics[f"constant_{name}_{kind}"]
            assert value == pytest.approx(constant, rel=1e-5, abs=1e-7)
        for name in ("skill_mae", "skill_mse", "skill_ssim", "skill_msssim", "skill_pearson", "psnr_gain"):
            assert result.metrics[f"{name}_{kind}"] == pytest.approx(0, abs=1e-5)
        assert result.metrics[f"pearson_{kind}"] == 0
    assert result.frc == {}
    for name in ("frc50", "frc1over7", "frchalfbit"):
        assert {result.reasons[f"{name}_{kind}"] for kind in ("complex", "amp", "phase")} == {"constant"}
    assert result.reasons["legacy/frc50_amp"] == "constant"


@pytest.mark.parametrize(
    ("value", "where", "reason"),
    [
        (np.nan, np.s_[:], "nonfinite"),
        (np.inf, np.s_[3, 0, 8, 8], "nonfinite"),
        (np.array([np.inf, -np.inf])[:, None], np.s_[..., :2, :], "nonfinite"),
        (complex(1, np.nan), np.s_[0, 0, 0, 0], "nonfinite"),  # outside the centre tile
        (0, np.s_[:], "zero_amplitude"),
        (1e-45, np.s_[:], None),
        (3e38, np.s_[:], None),
    ],
)
@pytest.mark.parametrize("gridsize", [1, 2])
def test_broken_predictions_give_reasons_not_crashes(make_scan, noisy, value, where, reason, gridsize):
    scan = make_scan(gridsize=gridsize)
    patches = noisy(scan)
    patches[where] = value
    result = evaluate(patches, scan)
    check_consistent(result)
    assert (result.aligned is None) is (reason is not None)
    own = [name for name in result.metrics if not name.startswith("constant_")]
    assert result.metrics["constant_mae_amp"] > 0
    assert result.legacy["constant_mae_amp"] > 0
    if reason:
        assert {result.metrics[name] for name in own} == {None}
        assert result.reasons["skill_ssim_amp"] == result.reasons["legacy/mae_phase"] == reason
        assert result.reasons["amplitude_factor"] == result.reasons["frc50_complex"] == reason
    else:
        assert result.metrics["skill_mae_amp"] == pytest.approx(0, abs=1e-6)


def test_an_overflowing_prediction_in_double_precision(make_scan):
    scan = make_scan()
    result = evaluate(np.full(scan.amplitude_nCNN.shape, 1e308 + 1e308j), scan)
    check_consistent(result)
    assert result.reasons["mae_amp"] == "nonfinite"


def test_half_of_the_prediction_dead(make_scan, noisy):
    """Zero amplitude in some patches only: still an image, with a phase of zero there."""
    scan = make_scan()
    patches = noisy(scan)
    patches[::2] = 0
    result = evaluate(patches, scan)
    check_consistent(result)
    assert result.metrics["skill_mae_amp"] < 0


@pytest.mark.parametrize("signed", [False, True])
def test_phase_metrics_of_a_real_object_are_vacuous(make_scan, noisy, signed):
    """Also where its amplitude changes sign, which reads as a phase of pi."""
    scan = make_scan(has_phase=False)
    if signed:
        objects = scan.truth.objects_ISS - np.complex64(2.5)
        assert objects.real.min() < 0
        scan = replace(scan, truth=replace(scan.truth, objects_ISS=objects))
    result = evaluate(noisy(scan), scan)
    check_consistent(result)
    for table, prefix in ((result.metrics, ""), (result.legacy, "legacy/")):
        phase = [name for name in table if name.endswith("_phase")]
        assert len(phase) > 10
        assert {result.reasons[prefix + name] for name in phase} == {"vacuous"}
    assert set(result.frc) == {"complex", "amp"}
    assert result.metrics["skill_mae_amp"] > 0.5


@pytest.mark.parametrize("flat", ["amp", "both"])
def test_a_flat_truth_makes_metrics_vacuous(make_scan, noisy, flat):
    scan = make_scan()
    objects = scan.truth.objects_ISS
    objects = np.exp(1j * np.angle(objects)) if flat == "amp" else np.ones_like(objects)
    scan = replace(scan, truth=replace(scan.truth, objects_ISS=objects.astype(np.complex64)))
    result = evaluate(noisy(scan), scan)
    check_consistent(result)
    assert result.reasons["ssim_amp"] == result.reasons["frc50_amp"] == "vacuous"
    assert ("frc50_complex" in result.reasons) is (flat == "both")


def test_small_images_lack_the_windowed_metrics_only(make_scan, noisy):
    scan = make_scan(rows=3, columns=3, stride=3)  # 9 px stitched, 5 px after the trim
    result = evaluate(noisy(scan), scan)
    check_consistent(result)
    for name in ("ssim_amp", "constant_ssim_amp", "skill_ssim_amp", "msssim_phase", "legacy/ms_ssim_amp"):
        assert result.reasons[name] == "too_small"
    assert result.metrics["skill_mae_amp"] is not None


def test_the_first_image_only_and_the_whole_scan(make_scan, noisy):
    two = make_scan(images=2)
    patches = noisy(two)
    spoilt = patches.copy()
    spoilt[len(patches) // 2 :] = 1
    assert evaluate(spoilt, two).metrics == evaluate(patches, two).metrics


def test_alignment_mode_reaches_the_metrics(make_scan, noisy):
    scan = make_scan()
    columns = np.arange(scan.N) + scan.corners_nC2[:, 0, 1][:, None, None, None]
    patches = (noisy(scan, 0.01) * np.exp(0.02j * columns)).astype(np.complex64)
    plane, mean = evaluate(patches, scan), evaluate(patches, scan, alignment_mode="mean")
    check_consistent(mean)
    assert mean.metrics["mae_phase"] > 5 * plane.metrics["mae_phase"]
    true_phase = np.angle(ground_truth(scan))[2:-2, 2:-2]
    spread = np.abs(true_phase - true_phase.mean()).mean()
    assert mean.metrics["constant_mae_phase"] == pytest.approx(spread, rel=1e-12)
    assert plane.metrics["constant_mae_phase"] != pytest.approx(spread, rel=1e-6)
    assert mean.metrics["mae_amp"] == plane.metrics["mae_amp"]


def test_needs_the_truth(make_scan):
    scan = make_scan()
    with pytest.raises(InputError, match="without a true object"):
        evaluate(patches_like(scan, 1), replace(scan, truth=None))
