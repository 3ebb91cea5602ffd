"""Watches the gradients of every layer: the gradient report, and the steps around the worst event of a training."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ptycho_mlf.drawing import save_png
from ptycho_mlf.telemetry.gradient_figures import heatmap_figure
from ptycho_mlf.telemetry.gradient_page import gradient_page
from ptycho_mlf.telemetry.gradient_report import gradient_report, write_gradient_table
from ptycho_mlf.telemetry.gradient_statistics import Layer, LayerRows, layer_histograms, layer_norms, model_layers
from ptycho_mlf.telemetry.norms import norms
from ptycho_mlf.telemetry.onset import Event, OnsetWatch
from ptycho_mlf.telemetry.postmortem import Postmortem, Suspect
from ptycho_mlf.telemetry.postmortem_page import postmortem_page

from .data_module import ScanDataModule
from .instruments import Instrument
from .module import PtychoModule

FLUSH_EVERY = 50
"""Steps after which the host reads the device at the latest, and between two histograms."""
BEFORE, AFTER = 150, 50
"""Steps around an onset that are kept."""
_RING = BEFORE + AFTER + 2 * FLUSH_EVERY
"""Steps the host remembers: an onset is known only at the next flush."""
_HISTOGRAMS = 16
"""Histograms it remembers."""


class GradientMonitor(Instrument):
    """Keeps the norms of every layer, on the device between flushes.

    The norms of gradients, weights and updates cost nothing: the step computes them anyway, those of weights and
    updates at a stride of its own. At a stride the gradients after clipping are measured too, and the row enters the
    report. Every row enters the ring.
    """

    def __init__(self, stride: int, *, postmortem: bool) -> None:
        """Start empty.

        Args:
            stride: steps between two rows of the report; 0 for no report.
            postmortem: keep the steps around the worst event.
        """
        self._stride, self._postmortem = stride, postmortem
        self._layers: list[Layer] = []
        self._order: list[str] = []
        self._hooks: list[RemovableHandle] = []
        self._steps: list[int] = []
        self._recorded: list[LayerRows] = []
        self._ring: list[LayerRows] = []
        self._frozen: tuple[Event, LayerRows, dict[str, tuple[int, NDArray[np.int64]]]] | None = None
        self._watch = OnsetWatch()
        self._gradients: deque[tuple[int, NDArray[np.int64]]] = deque(maxlen=_HISTOGRAMS)
        self._weights: dict[str, tuple[int, NDArray[np.int64]]] = {}
        self._ended = False

    def on_train_start(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Note the order in which the first forward pass calls the layers."""
        self._module = pl_module
        for name, layer in pl_module.model.named_modules():
            self._hooks.append(layer.register_forward_hook(self._note(name)))

    def on_after_backward(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """At the first step learn the layers; there, at flushes and at the end count the gradients before clipping."""
        first = not self._layers
        if first:
            self._prepare(trainer, pl_module)
        step = pl_module.steps_taken
        full_soon = len(self._steps) == FLUSH_EVERY - 1 and self._records(step)
        last = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        if first or full_soon or last:
            self._gradients.append((step, layer_histograms([_gradient(p) for p in self._parameters], self._layers)))

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: PtychoModule, *args: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Record the step; nothing is read from the device unless the buffer is full."""
        number = pl_module.steps_taken - 1
        if not self._records(number):
            return
        step = pl_module.last_step
        row, T = self._buffer[len(self._steps)], len(self._parameters)
        row[: 2 + T] = torch.cat([step.loss.reshape(1), step.preclip.reshape(1), step.gradients_T])
        if step.size is not None:
            row[2 + T : 2 + 3 * T] = torch.cat([step.size.weights_T, step.size.updates_T])
        if self._reports(number):
            clips = pl_module.config.training.clip_algorithm != "none"
            row[2 + 3 * T :] = norms([_gradient(p) for p in self._parameters]) if clips else step.gradients_T
        self._steps.append(number)
        if len(self._steps) == FLUSH_EVERY:
            self._flush()

    def on_train_end(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take the histogram of the last weights."""
        if self._layers:
            self._weights["weight"] = (pl_module.steps_taken, self._histogram_of_weights())

    def write(self, folder: Path) -> None:
        """Write gradients/, gradients.png and, if something went wrong, postmortem.html."""
        if not self._layers:
            return
        self._flush()
        if self._recorded:
            self._write_report(folder)
        if self._frozen is not None:
            self._write_postmortem(folder, *self._frozen)

    def _reports(self, step: int) -> bool:
        return self._stride > 0 and step % self._stride == 0

    def _records(self, step: int) -> bool:
        return self._postmortem or self._reports(step)

    def _note(self, name: str) -> Any:
        def hook(layer: nn.Module, inputs: object, output: object) -> None:
            self._order.append(name)

        return hook

    def _prepare(self, trainer: L.Trainer, module: PtychoModule) -> None:
        for hook in self._hooks:
            hook.remove()
        data = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(data, ScanDataModule)
        self._data, self._batches = data, int(trainer.num_training_batches)
        self._layers = model_layers(module.model, self._order)
        self._parameters = [p for p in module.model.parameters() if p.grad is not None]
        place = {p: k for k, p in enumerate(self._parameters)}
        groups = trainer.optimizers[0].param_groups
        # The norms of weights and updates come in the order of the optimizer.
        self._place = np.argsort([place[p] for group in groups for p in group["params"] if p in place])
        self._buffer = torch.full((FLUSH_EVERY, 2 + 4 * len(place)), torch.nan, device=module.device)
        self._weights["weight_initial"] = (0, self._histogram_of_weights())

    def _histogram_of_weights(self) -> NDArray[np.int64]:
        return layer_histograms([p.detach() for p in self._parameters], self._layers)

    def _flush(self) -> None:
        count, steps = len(self._steps), np.array(self._steps, np.int64)
        self._steps = []
        if self._ended or not count:
            return
        values = self._buffer[:count].cpu().double().numpy()
        self._buffer.fill_(torch.nan)
        finite = np.isfinite(values[:, 0]) & np.isfinite(values[:, 1])
        self._ended = bool((~finite).any())
        if self._ended:
            # The weights stood still from the first non-finite step on.
            count = int(np.flatnonzero(~finite)[0]) + 1
        rows = self._rows(steps[:count], values[:count])
        if self._stride:
            self._recorded.append(rows.take((rows.step % self._stride == 0) | ~finite[:count]))
        if self._postmortem:
            self._look(rows, finite[:count])

    def _rows(self, steps: NDArray[np.int64], values: NDArray[np.float64]) -> LayerRows:
        gradients, weights, updates, clipped = np.split(values[:, 2:], 4, axis=1)
        in_order = (gradients, weights[:, self._place], updates[:, self._place], clipped)
        per_layer = [layer_norms(x, self._layers) for x in in_order]
        return LayerRows(steps, values[:, 0], *per_layer)

    def _look(self, rows: LayerRows, finite: NDArray[np.bool_]) -> None:
        for step, loss, is_finite in zip(rows.step, rows.loss, finite, strict=True):
            self._watch.add(int(step), float(loss), finite=bool(is_finite))
        ring = LayerRows.concatenate([*self._ring, rows])
        ring = ring.take(np.arange(len(ring)) >= len(ring) - _RING)
        self._ring = [ring]
        event = self._watch.worst
        if event is None or (self._frozen is not None and self._complete(event, rows)):
            return
        keep = (ring.step >= event.step - BEFORE) & (ring.step <= event.step + AFTER)
        before = [taken for taken in self._gradients if taken[0] < event.step]
        after = [taken for taken in self._gradients if taken[0] >= event.step]
        histograms = {"before": before[-1]} if before else {}
        if after:
            histograms["after"] = after[0]
        self._frozen = event, ring.take(keep), histograms

    def _complete(self, event: Event, rows: LayerRows) -> bool:
        """Whether the window of this event was whole before these rows came."""
        assert self._frozen is not None
        return self._frozen[0].step == event.step and int(rows.step[0]) > event.step + AFTER

    def _write_report(self, folder: Path) -> None:
        target = folder / "gradients"
        target.mkdir(parents=True, exist_ok=True)
        rows = LayerRows.concatenate(self._recorded)
        histograms = dict(self._weights) | ({"gradient": self._gradients[-1]} if self._gradients else {})
        report = gradient_report(rows, self._layers, self._stride, histograms)
        _write_json(target / "gradient_report.json", report)
        write_gradient_table(rows, self._layers, target / "gradients.parquet")
        heatmap, drawn = heatmap_figure(rows, self._layers), folder / "gradients.png"
        save_png(heatmap, drawn)
        (target / "gradient_report.html").write_text(gradient_page(report, heatmap, drawn, self._layers, histograms))

    def _write_postmortem(
        self, folder: Path, event: Event, rows: LayerRows, histograms: Mapping[str, tuple[int, NDArray[np.int64]]]
    ) -> None:
        target = folder / "gradients"
        target.mkdir(parents=True, exist_ok=True)
        found = Postmortem(event, self._watch.events, self._layers, rows, histograms, self._suspect(event.step))
        _write_json(target / "onset.json", found.as_json())
        (folder / "postmortem.html").write_text(postmortem_page(found))

    def _suspect(self, step: int) -> Suspect:
        epoch, batch = divmod(step, self._batches)
        positions = self._data.batch_positions(epoch, batch)
        amplitude = self._data.train_set.amplitude_nCNN
        means = amplitude.mean((1, 2, 3), dtype=torch.float64).cpu().numpy()
        return Suspect(epoch + 1, batch, self._data.train_patterns[positions], means[positions] / np.median(means))


def _gradient(parameter: nn.Parameter) -> Tensor:
    gradient = parameter.grad
    if gradient is None:
        raise RuntimeError("a parameter that had a gradient at the first step has none now")
    return gradient


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, allow_nan=False) + "\n")
