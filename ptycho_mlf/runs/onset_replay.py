"""The replay of a run's worst event, as artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning as L

from ptycho_mlf.config import RunConfig
from ptycho_mlf.telemetry.replay_page import replay_page
from ptycho_mlf.telemetry.replay_report import replay_document, write_tensors
from ptycho_mlf.telemetry.trace import Rows
from ptycho_mlf.training.onset_checkpoints import OnsetCheckpoints
from ptycho_mlf.training.replay import replay

from .dataset import RunData
from .json_files import write_json


class OnsetReplay:
    """Keeps what a replay starts from while the run trains, and replays once it has ended; nothing with replay=none."""

    def __init__(self, config: RunConfig, data: RunData, checkpoints: Path, scratch: Path) -> None:
        """Prepare.

        Args:
            config: the run.
            data: what it sees.
            checkpoints: where the training keeps its best and last weights.
            scratch: a folder that is there, for copies of the last ones.
        """
        self._config, self._data, self._kept = config, data, None
        if config.telemetry.replay == "onset":
            self._kept = OnsetCheckpoints(checkpoints / "last.ckpt", scratch / "replay")

    @property
    def callbacks(self) -> Sequence[L.Callback]:
        """For the training."""
        return [] if self._kept is None else [self._kept]

    def write(self, trained: Rows, folder: Path) -> None:
        """Replay and write gradients/replay/: replay.json and .html, onset.safetensors; nothing if nothing happened.

        Args:
            trained: trace of the training.
            folder: of the run's artifacts.
        """
        if self._kept is None or self._kept.event is None:
            return
        data, step = self._data, self._kept.event.step
        found = replay(self._config, data.train, data.holdout, data.val, self._kept.start(step), step)
        document = replay_document(trained, found.rows, found.moment, found.before)
        target = folder / "gradients" / "replay"
        target.mkdir(parents=True)
        write_tensors(found.moment, found.before, target / "onset.safetensors")
        write_json(target / "replay.json", document)
        (target / "replay.html").write_text(replay_page(document, found.moment))
