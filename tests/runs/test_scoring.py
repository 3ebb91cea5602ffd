"""Which networks are scored at the end of a training."""

from collections.abc import Callable
from pathlib import Path

import torch

from ptycho_mlf.config import RunConfig
from ptycho_mlf.evaluation.evaluate import evaluate_image
from ptycho_mlf.runs.dataset import load_run_data
from ptycho_mlf.runs.predict import reconstruct
from ptycho_mlf.runs.scoring import score, scored_generators
from ptycho_mlf.training.checkpoints import generator_weights
from ptycho_mlf.training.fit import fit


class Silent:
    """An observer that is told and says nothing."""

    def steps(self, rows: object) -> None: ...

    def epoch(self, row: object) -> None: ...


def test_weights_that_are_best_and_last_at_once_are_scored_once_and_others_each(
    tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = tiny(epochs=1, scheduler="Default")
    data = load_run_data(config)
    result = fit(config, data.train, data.holdout, data.val, tmp_path, Silent())
    assert result.best_epoch == 1
    generators = scored_generators(config, result, tmp_path)
    assert list(generators) == ["best", "last"]
    assert generators["best"] is generators["last"]
    same = score(generators, data.test, "cpu")
    assert same["best"] is same["last"]

    with torch.no_grad():
        next(iter(result.generator.parameters())).mul_(1.5)
    generators = scored_generators(config, result, tmp_path)
    kept = generators["best"].state_dict()
    assert all(torch.equal(kept[name], saved) for name, saved in generator_weights(tmp_path / "best.ckpt").items())
    found = score(generators, data.test, "cpu")
    assert found["best"].metrics == same["best"].metrics
    assert found["last"].metrics == evaluate_image(reconstruct(result.generator, data.test, "cpu"), data.test).metrics
    assert found["last"].metrics != found["best"].metrics
