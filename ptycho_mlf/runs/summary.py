"""summary.md: what a person reads first; also the description of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptycho_mlf.config import ModelConfig, RunConfig
from ptycho_mlf.evaluation.evaluate import Evaluation
from ptycho_mlf.telemetry.skill import loss_skill
from ptycho_mlf.telemetry.verdict import Verdict

_SHOWN = {
    "ssim_amp": "SSIM amplitude",
    "ssim_phase": "SSIM phase",
    "mae_amp": "MAE amplitude",
    "mae_phase": "MAE phase, rad",
    "psnr_amp": "PSNR amplitude, dB",
    "pearson_amp": "Pearson amplitude",
    "frc50_complex": "FRC 0.5 crossing, cycles/px",
    "amplitude_factor": "amplitude factor of the alignment",
}


def summary_text(
    config: RunConfig,
    verdict: Verdict,
    stats: Mapping[str, Any],
    floor: float,
    evaluations: Mapping[str, Evaluation],
    dataset_hash: str,
) -> str:
    """Markdown."""
    model, training, val = config.model, config.training, stats["val"]
    lines = [
        *verdict_lines(verdict),
        f"{_size(model)}, {stats['parameters']['real']:,} real "
        f"parameters; {training.optimizer} at {training.learning_rate:g}, {training.scheduler}, "
        f"clip {training.clip_algorithm}; seed {training.seed}; {stats['epochs']} epochs, {stats['steps']} steps "
        f"on {stats['device']} in {stats['seconds']:.0f} s; dataset `{dataset_hash}`.",
        "",
        "| validation | loss | skill |",
        "|---|---|---|",
        f"| before training | {val['initial']:.4f} | |",
        *(_val_row(name, val[name], floor) for name in ("best", "last") if val[name] is not None),
        f"| best constant object | {floor:.4f} | 0 |",
        "",
        "| test object | " + " | ".join(evaluations) + " | constant |",
        "|---|" + "---|" * (len(evaluations) + 1),
    ]
    for name, label in _SHOWN.items():
        cells = [_cell(evaluation, name) for evaluation in evaluations.values()]
        constant = next(iter(evaluations.values())).metrics.get(f"constant_{name}")
        lines.append(f"| {label} | " + " | ".join([*cells, "" if constant is None else f"{constant:.4f}"]) + " |")
    return "\n".join(lines) + "\n"


def out_of_memory_text(config: RunConfig, verdict: Verdict, dataset_hash: str) -> str:
    """Markdown for a run without a result."""
    model, training = config.model, config.training
    settings = (
        f"{_size(model)}; "
        f"N {config.data.N}, batch {training.batch_size}; seed {training.seed}; dataset `{dataset_hash}`."
    )
    return "\n".join([*verdict_lines(verdict), settings]) + "\n"


def _size(model: ModelConfig) -> str:
    used = model.used()
    blocks = f"{model.fno_blocks} blocks, " if "fno_blocks" in used else ""
    modes = f", modes {model.modes}" if "modes" in used else ""
    return f"{model.architecture}, {blocks}width {model.width}{modes}"


def verdict_lines(verdict: Verdict) -> list[str]:
    """The verdict, its sentence, and what is known around it; one paragraph each."""
    around: list[str] = []
    if verdict.onset_step is not None:
        around.append(f"onset at step {verdict.onset_step}")
    if verdict.trigger is not None:
        found = verdict.trigger
        around.append(f"after a spike of {found.series} at step {found.step} ({found.sigmas:.3g} sigma)")
    if verdict.cause:
        around.append(f"cause: {', '.join(verdict.cause)}")
    paragraphs = [f"**{verdict.name}**: {verdict.sentence}"]
    if around:
        text = "; ".join(around)
        paragraphs.append(f"{text[0].upper()}{text[1:]}.")
    if verdict.warnings:
        paragraphs.append(f"Warning: {', '.join(verdict.warnings)}.")
    if verdict.hint:
        paragraphs.append(verdict.hint)
    return [line for paragraph in paragraphs for line in (paragraph, "")]


def _val_row(name: str, loss: float, floor: float) -> str:
    return f"| {name} | {loss:.4f} | {loss_skill(loss, floor):.3f} |"


def _cell(evaluation: Evaluation, name: str) -> str:
    value = evaluation.metrics[name]
    return evaluation.reasons[name] if value is None else f"{value:.4f}"
