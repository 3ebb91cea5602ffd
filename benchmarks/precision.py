"""What bf16 convolutions cost in validation skill, seed by seed.

    python benchmarks/precision.py [--seeds 6] [--arm quickstart/hybrid] [name=value ...]

Trains an arm of the quickstart at its small size twice per seed, in float32 and in bf16, from the same weights over
the same batches. Skill is 1 - loss / loss of the best constant object, of the best epoch. The interval of the median
difference rests on order statistics alone and is open below 6 seeds.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

import click

PRECISIONS = ("float32", "bf16")
SHORT = {"train_patterns": 800, "epochs": 4}
"""200 steps: all trainings take some 3 minutes on one core."""


class Silent:
    """An observer of nothing."""

    def steps(self, rows: object) -> None: ...

    def epoch(self, row: object) -> None: ...


def train(settings: dict[str, object]) -> tuple[float, float]:
    """Best validation skill, and seconds of CPU time of the training."""
    from ptycho_mlf.config import RunConfig
    from ptycho_mlf.runs.dataset import load_run_data
    from ptycho_mlf.telemetry.skill import loss_skill
    from ptycho_mlf.training.fit import fit

    config = RunConfig.from_flat(settings)
    data = load_run_data(config)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        result = fit(config, data.train, data.holdout, data.val, Path(folder), Silent())
    seconds = time.process_time() - start
    floor = data.floors(config.training.batch_size).best
    return loss_skill(min(row.val_loss for row in result.history), floor), seconds


@click.command()
@click.option("--seeds", type=int, default=6, show_default=True)
@click.option("--first", type=int, default=0, show_default=True, help="The first seed.")
@click.option("--arm", default="quickstart/hybrid", show_default=True)
@click.argument("changes", nargs=-1)
def main(seeds: int, first: int, arm: str, changes: tuple[str, ...]) -> None:
    from ptycho_mlf.runs.quickstart import ARMS, SMALL
    from ptycho_mlf.studies.statistics.paired import paired_values

    settings = {**SMALL, **SHORT, **ARMS[arm], "threads": 1, **dict(change.split("=", 1) for change in changes)}
    click.echo(f"{arm}: {', '.join(f'{name}={value}' for name, value in settings.items())}")
    skills: dict[str, dict[int, float]] = {precision: {} for precision in PRECISIONS}
    seconds: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    click.echo("\n| seed | skill, float32 | skill, bf16 | difference |\n|---|---|---|---|")
    for seed in range(first, first + seeds):
        for precision in PRECISIONS[:: 1 if seed % 2 else -1]:
            skills[precision][seed], spent = train({**settings, "seed": seed, "precision": precision})
            seconds[precision].append(spent)
        plain, short = (skills[precision][seed] for precision in PRECISIONS)
        click.echo(f"| {seed} | {plain:.4f} | {short:.4f} | {short - plain:+.4f} |")
    found = paired_values(skills["bf16"], skills["float32"])
    spread = max(skills["float32"].values()) - min(skills["float32"].values())
    click.echo(
        f"\nbf16 less float32: median {found.median:+.4f}, 95 % interval [{found.interval.low:+.4f}, "
        f"{found.interval.high:+.4f}], p = {found.p_value:.2f}, {found.n} seeds, {found.left_out} left out; float32 "
        f"itself spreads over {spread:.4f}. CPU time of a training: {median(seconds['float32']):.1f} s and "
        f"{median(seconds['bf16']):.1f} s."
    )


if __name__ == "__main__":
    main()
