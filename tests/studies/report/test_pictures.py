"""Images of reconstructions stay within their budget, and show what they say."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import Normalize
from PIL import Image

from ptycho_mlf.studies.report import pictures
from ptycho_mlf.studies.report.pictures import BUDGET, arm_pictures, chosen_members, data_uri, reconstruction

from .make_study import member


def opened(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"), int)


def test_an_image_is_the_array_in_its_colours():
    ramp = np.broadcast_to(np.linspace(0, 2, 64), (32, 64))
    shown = opened(data_uri(ramp, "amp", Normalize(0, 2, clip=True), 320))
    assert shown.shape == (32, 64, 3)
    expected = 255 * colormaps["viridis"](ramp / 2)[..., :3]
    assert np.abs(shown - expected).mean() < 6
    assert opened(data_uri(ramp, "amp", Normalize(0, 2, clip=True), 16)).shape == (8, 16, 3)


def test_best_and_worst_are_by_the_skill_of_the_last_weights():
    runs = [member(k, metrics={"val/skill_last": skill}) for k, skill in enumerate((0.3, 0.9, -0.2))]
    runs += [member(7, outcome="crashed", metrics={"val/skill_best": 1.0}), member(8, outcome="none")]
    assert [(role, one.seed) for role, one in chosen_members(runs)] == [("best seed", "1"), ("worst seed", "7")]
    assert [role for role, _ in chosen_members([member(1)])] == ["only seed"]
    assert chosen_members([member(1, outcome="none"), member(2, outcome="pruned")]) == []


def test_many_noisy_images_stay_within_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # A first guess that is far too large.
    monkeypatch.setattr(pictures, "_BYTES_PER_PIXEL", 0.15)
    noise = np.random.default_rng(0)
    path = tmp_path / "noise.npz"
    images = {name: noise.random((300, 300)) for name in ("amp", "phase", "truth_amp", "truth_phase")}
    np.savez(path, **images)
    runs = [member(k, f"arm{k // 2}", metrics={"val/skill_last": k / 100}) for k in range(30)]
    chosen = chosen_members(runs)
    files = {(one.run_id, reconstruction(weights)): path for _, one in chosen for weights in ("best", "last")}
    made = arm_pictures(chosen, files)
    assert len(made) == 15
    uris = [uri for arm in made for picture in arm.pictures for uri in (picture.amp, picture.phase)]
    uris += [uri for arm in made for uri in (arm.truth_amp, arm.truth_phase)]
    assert len(uris) == 15 * 10
    assert BUDGET / 3 < sum(len(uri) for uri in uris if uri) <= BUDGET


def test_runs_without_images_are_left_out(tmp_path: Path):
    chosen = chosen_members([member(1), member(2, "b")])
    assert arm_pictures(chosen, {}) == ()
