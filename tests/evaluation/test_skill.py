import pytest

from ptycho_mlf.evaluation.reason import Reason
from ptycho_mlf.evaluation.skill import against_constant, error_skill, similarity_skill


@pytest.mark.parametrize(
    ("error", "constant", "skill"),
    [(0, 0.5, 1), (0.5, 0.5, 0), (1.5, 0.5, -2), (1e-6, 1e-6, 0), (0, 0.99e-6, Reason.VACUOUS), (0, 0, Reason.VACUOUS)],
)
def test_error_skill(error, constant, skill):
    assert error_skill(error, constant) == skill


@pytest.mark.parametrize(
    ("similarity", "constant", "skill"),
    [(1, 0.25, 1), (0.25, 0.25, 0), (0, 0.5, -1), (1, 0.9995, Reason.VACUOUS), (1, 1, Reason.VACUOUS)],
)
def test_similarity_skill(similarity, constant, skill):
    assert similarity_skill(similarity, constant) == skill


def test_psnr_gain_is_in_decibel_and_vacuous_with_the_error_behind_it():
    table = against_constant({"psnr": 30.0, "mse": 0.1}, {"psnr": 12.5, "mse": 0.4})
    assert table == {
        "psnr": 30.0,
        "constant_psnr": 12.5,
        "psnr_gain": 17.5,
        "mse": 0.1,
        "constant_mse": 0.4,
        "skill_mse": pytest.approx(0.75),
    }
    assert set(against_constant({"psnr": 30.0, "mse": 0.0}, {"psnr": 90.0, "mse": 1e-7}).values()) == {Reason.VACUOUS}


def test_a_vacuous_metric_loses_all_three_values():
    assert set(against_constant({"ssim": 1.0}, {"ssim": 0.9999}).values()) == {Reason.VACUOUS}


def test_reasons_pass_through_and_the_constant_is_still_told():
    table = against_constant({"mae": Reason.NONFINITE}, {"mae": 0.5})
    assert table == {"mae": Reason.NONFINITE, "constant_mae": 0.5, "skill_mae": Reason.NONFINITE}
    table = against_constant({"psnr": Reason.NO_ERROR, "mse": 0.0}, {"psnr": 10.0, "mse": 0.1})
    assert table["psnr_gain"] is Reason.NO_ERROR
    assert table["skill_mse"] == 1
