"""The scores of a reconstruction on one screen."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ptycho_mlf.evaluation.evaluate import Evaluation

_ROWS = {
    "ssim": "SSIM",
    "msssim": "MS-SSIM",
    "psnr": "PSNR (dB)",
    "pearson": "Pearson",
    "mae": "MAE (object units, rad)",
    "frc50": "FRC below 0.5 from (cycles/px)",
}
_KINDS = {"amp": "amplitude", "phase": "phase"}


def print_reconstruction(evaluation: Evaluation | None, label: str, console: Console) -> None:
    """Every score beside that of a constant object, or one line where the truth is not known."""
    if evaluation is None:
        console.print("The true object is not known: no scores.")
        return
    table = Table(title=f"{label} weights, after alignment", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name in _KINDS.values():
        table.add_column(name, justify="right")
        table.add_column("constant", justify="right", style="dim")
    for metric, name in _ROWS.items():
        cells = [
            _text(evaluation.metrics.get(f"{prefix}{metric}_{kind}")) for kind in _KINDS for prefix in ("", "constant_")
        ]
        table.add_row(name, *cells)
    console.print(table)
    # One reason often holds for many scores.
    for reason in dict.fromkeys(evaluation.reasons.values()):
        lacking = [name for name, why in evaluation.reasons.items() if why == reason and not name.startswith("legacy/")]
        shown = [name for name in lacking if name.rsplit("_", 1)[0] in _ROWS]
        if shown:
            console.print(f"no {', '.join(shown)}: {reason}", soft_wrap=True, highlight=False)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
