"""Pictures of the validation strip, from a real training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ptycho_mlf.config import RunConfig
from ptycho_mlf.runs.dataset import load_run_data
from ptycho_mlf.telemetry.picture import object_picture
from ptycho_mlf.training.fit import fit
from ptycho_mlf.training.reconstruction_monitor import KEY, ReconstructionMonitor


class Silent:
    def steps(self, rows: object) -> None: ...

    def epoch(self, row: object) -> None: ...


@pytest.mark.parametrize("changes", [{"val_fraction": 0.3}, {"val_source": "test"}, {"gridsize": 2}])
def test_pictures_show_the_held_out_rows_before_and_during_the_training(
    changes: dict, tiny: Callable[..., RunConfig], tmp_path: Path
):
    config = tiny(epochs=4, nimgs_train=2, **changes)
    data = load_run_data(config)
    shown: list[tuple[np.ndarray, str, int]] = []
    monitor = ReconstructionMonitor(data.val, data.holdout.val, 2, lambda *picture: shown.append(picture))
    result = fit(config, data.train, data.holdout, data.val, tmp_path, Silent(), [monitor])
    steps = len(result.trace) // 4
    assert [(key, step) for _, key, step in shown] == [(KEY, 0), (KEY, 2 * steps), (KEY, 4 * steps)]

    if config.data.gridsize == 1:
        # Independently: the last weights on the whole scan, tiles cut and placed by loops.
        with torch.inference_mode():
            patches = result.generator.eval()(torch.from_numpy(data.val.amplitude_nCNN)).numpy()
        grid = data.val.grid
        index = [i for i in data.holdout.val.tolist() if i < grid.rows * grid.columns]
        start, stride = (16 - grid.stride + 1) // 2, grid.stride
        rows = len(index) // grid.columns
        strip = np.zeros((rows * stride, grid.columns * stride), complex)
        truth = np.zeros_like(strip)
        for place, i in enumerate(index):
            r, c = divmod(place, grid.columns)
            there = np.s_[r * stride : (r + 1) * stride, c * stride : (c + 1) * stride]
            row, column = data.val.corners_nC2[i, 0] + start
            truth[there] = data.val.truth.objects_ISS[0, row : row + stride, column : column + stride]
            strip[there] = patches[i, 0, start : start + stride, start : start + stride]
        expected = object_picture(strip, truth / data.val.truth.norm_Y)
        difference = np.abs(shown[-1][0].astype(int) - expected.astype(int))
        assert difference.max() <= 4  # colours of values on the edge of a step
        assert np.mean(difference > 0) < 0.02


def test_looking_changes_nothing(tiny: Callable[..., RunConfig], tmp_path: Path):
    config = tiny()
    data = load_run_data(config)
    plain = fit(config, data.train, data.holdout, data.val, tmp_path / "a", Silent())
    monitor = ReconstructionMonitor(data.val, data.holdout.val, 1, lambda *picture: None)
    watched = fit(config, data.train, data.holdout, data.val, tmp_path / "b", Silent(), [monitor])
    assert np.array_equal(plain.trace["loss"], watched.trace["loss"])
