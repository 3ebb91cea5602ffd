"""One run of Stage A: simulate, train, score, record."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ptycho_mlf.collector import collector_paused
from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.physics.floor import Floors
from ptycho_mlf.telemetry.course import Course
from ptycho_mlf.telemetry.signals import References
from ptycho_mlf.telemetry.skill import loss_skill
from ptycho_mlf.telemetry.trace import Rows
from ptycho_mlf.telemetry.verdict import Verdict, judge
from ptycho_mlf.tracking.run_record import RunRecord
from ptycho_mlf.tracking.store import connect
from ptycho_mlf.training.fit import TrainingResult, fit, order_seed, resolve_accelerator, weights_seed
from ptycho_mlf.training.instruments import Instrument
from ptycho_mlf.training.out_of_memory import is_allocation_failure
from ptycho_mlf.training.recorder import EpochRow
from ptycho_mlf.training.threads import cpu_threads

from .artifacts import write_figures, write_training
from .dataset import RunData, load_run_data
from .end_metrics import end_metrics
from .instruments import build_instruments
from .json_files import finite, write_json
from .legacy_rules import legacy_rules
from .live_metrics import LiveMetrics
from .log_model import log_model
from .onset_replay import OnsetReplay
from .scoring import metrics_for_store, score, scored_generators, scores_json
from .stats import training_stats
from .summary import out_of_memory_text, summary_text


@dataclass(frozen=True)
class RunOutcome:
    """What a caller learns of an ended run."""

    run_id: str
    verdict: Verdict
    pruned: bool
    """Given up in favour of others before its last epoch, without having crashed until then."""
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])
    """Finite numbers of training and validation, as in the store: `val/loss_last`, `val/skill_best`, ..., and
    `val/loss_initial`, `steps`."""


def run_name(config: RunConfig, arm: str = "") -> str:
    """`<arm or architecture>-<optimizer>-lr<lr>-s<seed>`."""
    training = config.training
    return f"{arm or config.model.architecture}-{training.optimizer}-lr{training.learning_rate:g}-s{training.seed}"


def run_stage_a(
    config: RunConfig,
    *,
    arm: str = "",
    parent_run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    prune: Callable[[EpochRow, float], bool] | None = None,
) -> RunOutcome:
    """Train and record one arm.

    Args:
        config: the arm.
        arm: its name, where it has one; becomes a tag and the start of the run name.
        parent_run_id: the run it is nested under.
        tags: tags besides those every run has.
        prune: is told an epoch and its validation skill, and may give the training up.

    Raises:
        InputError: a store, cache, device or probe that cannot be used; no run is left behind by a direct call.
    """
    # What can be wrong with the input is found before there is a store or a run.
    accelerator = resolve_accelerator(config.execution.accelerator)
    data = load_run_data(config)
    floors = data.floors(config.training.batch_size)
    if not floors.best > 0:
        raise InputError(f"nphotons={config.data.nphotons:g}: the validation patterns hold no photon to learn from")
    connect()
    own_tags = {
        "arm": arm or config.model.architecture,
        "seed": str(config.training.seed),
        "fingerprint": config.fingerprint(),
        "dataset_hash": data.hash,
        "device": torch.cuda.get_device_name() if accelerator == "cuda" else "cpu",
    }
    name = run_name(config, arm)
    with (
        cpu_threads(config.execution.threads),
        RunRecord.open(
            name=name, tags={**(tags or {}), **own_tags}, params=config.flat(), parent_run_id=parent_run_id
        ) as record,
        tempfile.TemporaryDirectory(prefix="ptycho_mlf-") as scratch,
    ):
        run = _Run(config, data, floors, record, Path(scratch), prune)
        return RunOutcome(record.run_id, run.execute(), run.pruned, run.numbers)


class _Run:
    """The steps of one run, in order; what they share is the record and the folder of artifacts."""

    def __init__(
        self,
        config: RunConfig,
        data: RunData,
        floors: Floors,
        record: RunRecord,
        folder: Path,
        prune: Callable[[EpochRow, float], bool] | None,
    ) -> None:
        self.config, self.data, self.floors, self.record = config, data, floors, record
        self._ask, self.pruned, self._stopped_early = prune, False, False
        self.keeps_weights = config.telemetry.keep == "all"
        self.folder = folder / "artifacts"
        self.folder.mkdir()
        self.scratch = folder
        self.checkpoints = (self.folder if self.keeps_weights else folder) / "checkpoints"
        self.numbers: dict[str, float] = {}

    def execute(self) -> Verdict:
        try:
            self._describe()
            return self._train()
        finally:
            # Killed or failed, in the training or after it: what is there is kept all the same.
            self.record.log_folder(self.folder, hand_over=True)

    def _train(self) -> Verdict:
        live = LiveMetrics(
            self.record, self._total_steps(), self.floors.best, clips=self.config.training.clip_algorithm != "none"
        )
        instruments = build_instruments(self.config, self.data, self.record.log_image)
        onset = OnsetReplay(self.config, self.data, self.checkpoints, self.scratch)
        data = self.data
        references = data.references(self.floors)
        parts = (data.train, data.holdout, data.val)
        try:
            prune = None if self._ask is None else self._prune
            callbacks = [*instruments, *onset.callbacks]
            result = fit(self.config, *parts, self.checkpoints, live, callbacks, references, prune)
        except BaseException as error:
            live.close()
            write_training(self.folder, Rows.concatenate(live.rows), live.history, None)
            self._write(instruments)
            if not is_allocation_failure(error):
                raise
            return self._out_of_memory(live, references)
        live.close()
        with collector_paused():  # Figures are hundreds of thousands of objects.
            write_training(self.folder, result.trace, result.history, result.initial)
            self._write(instruments)
            verdict = self._judge(result, references)
            self._score(result, verdict)
        onset.write(result.trace, self.folder)
        return verdict

    def _prune(self, row: EpochRow) -> bool:
        return self._ask is not None and self._ask(row, loss_skill(row.val_loss, self.floors.best))

    def _write(self, instruments: Sequence[Instrument]) -> None:
        for instrument in instruments:
            instrument.write(self.folder)
            self.record.log_points(instrument.points())

    def _total_steps(self) -> int:
        training = self.config.training
        return training.epochs * self._steps_per_epoch()

    def _steps_per_epoch(self) -> int:
        return math.ceil(len(self.data.holdout.train) / self.config.training.batch_size)

    def _describe(self) -> None:
        """config.json, dataset inputs and resolved values: known before the first step."""
        config, data = self.config, self.data
        seeds = {
            "run": config.training.seed,
            "weights": weights_seed(config),
            "order": order_seed(config),
            "geometry": config.data.geometry_seed,
            "noise": config.data.noise_seed,
            "split": config.data.split_seed,
        }
        resolved = {
            "clip_value": config.training.clip_threshold,
            "lr_warmup_epochs": config.training.warmup_epochs if config.training.scheduler == "WarmupCosine" else 0,
            "train_patterns": len(data.holdout.train),
            "val_patterns": len(data.holdout.val),
            "accelerator": resolve_accelerator(config.execution.accelerator),
            "threads": torch.get_num_threads(),
        }
        document = {
            "parameters": config.flat(),
            "fingerprint": config.fingerprint(),
            "dataset_hash": data.hash,
            "seeds": seeds,
            "resolved": resolved,
            "provenance": {"train": dict(data.train.provenance), "test": dict(data.test.provenance)},
        }
        write_json(self.folder / "config.json", document)
        self.record.log_params({f"resolved/{name}": value for name, value in resolved.items()})
        for context, scan, index in (
            ("training", data.train, data.holdout.train),
            ("validation", data.val, data.holdout.val),
            ("test", data.test, range(data.test.grid.patterns)),
        ):
            self.record.log_dataset(
                name=f"{config.data.object}-N{config.data.N}-{context}",
                digest=data.hash,
                context=context,
                shape=(len(index), *scan.amplitude_nCNN.shape[1:]),
                source=None,
                profile={"content_hash": scan.content_hash, "mean_amplitude": float(scan.amplitude_nCNN.mean())},
            )

    def _judge(self, result: TrainingResult, references: References) -> Verdict:
        validations = [row.signals() for row in result.history]
        if result.nonfinite_step is not None:
            # Its last epoch was cut short and has no row of its own.
            validations.append(result.last.signals(len(result.trace)))
        initial, is_mae = result.initial.signals(0), self.config.training.loss == "mae"
        verdict = judge(Course(result.trace, initial, validations, references, is_mae))
        # A crash is a result, also where the training was given up on it.
        self.pruned = result.pruned and not verdict.crash
        self._stopped_early = result.stopped_early or (result.pruned and not self.pruned)
        self._note(verdict)
        return verdict

    def _out_of_memory(self, live: LiveMetrics, references: References) -> Verdict:
        """The verdict of a training that needed more memory than there is: a result, not an error of the program."""
        validations = [row.signals() for row in live.history]
        course = Course(Rows.concatenate(live.rows), None, validations, references, self.config.training.loss == "mae")
        verdict = judge(course, out_of_memory=True)
        self._note(verdict)
        summary = out_of_memory_text(self.config, verdict, self.data.hash)
        (self.folder / "summary.md").write_text(summary)
        self.record.set_tags({"mlflow.note.content": summary})
        return verdict

    def _note(self, verdict: Verdict) -> None:
        """Tags now, and the file before anything else can go wrong; scores come later."""
        # Nobody knows what would have become of a pruned training: it counts neither way.
        tags = {"verdict": verdict.name, "verdict.crash": _tri_state(None if self.pruned else verdict.crash)}
        if verdict.onset_step is not None:
            tags["verdict.onset_step"] = str(verdict.onset_step)
        if verdict.cause:
            tags["verdict.cause"] = "; ".join(verdict.cause)
        if self._stopped_early:
            tags["stopped_early"] = "true"
        if self.pruned:
            tags["pruned"] = "true"
        self.record.set_tags(tags)
        self._write_verdict(verdict, legacy_rules(verdict, None, {}, 1) if verdict.name == "oom" else None)

    def _write_verdict(self, verdict: Verdict, legacy: Mapping[str, Any] | None) -> None:
        document = {**verdict.as_json(), "stopped_early": self._stopped_early, "pruned": self.pruned, "legacy": legacy}
        write_json(self.folder / "verdict.json", finite(document))

    def _score(self, result: TrainingResult, verdict: Verdict) -> None:
        config, folder, floors = self.config, self.folder, self.floors
        generators = scored_generators(config, result, self.checkpoints)
        evaluations = score(generators, self.data.test, result.device)
        stats = training_stats(result)
        legacy = legacy_rules(verdict, result.last.loss, evaluations["last"].legacy, self._steps_per_epoch())
        self._write_verdict(verdict, legacy)
        write_json(folder / "stats.json", finite(stats))
        write_json(folder / "metrics.json", scores_json(evaluations) | {"floors": asdict(floors)})
        if self.keeps_weights:
            write_figures(folder, evaluations, result.trace, result.history, floors.best)
        summary = summary_text(config, verdict, stats, floors.best, evaluations, self.data.hash)
        (folder / "summary.md").write_text(summary)
        self.record.set_tags({"mlflow.note.content": summary})
        numbers = end_metrics(stats, floors, result.trace, config.training.scheduler)
        # Values of the whole run. At step 0 the UI draws bars that compare runs; at any other, one dot in a chart.
        self.record.log_metrics(metrics_for_store(evaluations) | numbers, step=0)
        initial = {"val/loss_initial": stats["val"]["initial"], "steps": len(result.trace)}
        self.numbers = numbers | {name: value for name, value in initial.items() if math.isfinite(value)}
        if not self.keeps_weights:
            return
        weights, generator = next(iter(generators.items()))
        step = stats["val"]["best_step"] if weights == "best" else len(result.trace)
        log_model(self.record, generator, folder / "config.json", self.data.test, step)


def _tri_state(value: bool | None) -> str:
    """true, false, or none: a run that counts neither way."""
    return str(value).lower()
