"""How many runs the search for LR50 takes, and how often its intervals hold the truth, on curves that are known.

    python benchmarks/threshold.py [--repetitions 400] [--seed 0] [--slopes 3,5,8] [--designs adaptive,uniform]

Every repetition draws x50 uniformly from the 3 decades 1e-5 to 1e-2, less 0.3 at either end, and outcomes from
P(crash) = 1 / (1 + exp(-k (x - x50))). It ends at the first run after which the 95 % interval of LR50 is at most 0.2
decades wide. `bound` is what runs at x50 alone would need if k were known, (1.96 / 0.1)^2 4 / k^2. `uniform` spreads
the runs evenly over the 3 decades and is stopped by the same rule. `safe` is how often P(crash) at the
rate it says to use, the lower end of LR10's interval, is indeed at most 10 %. Repetitions of a slope run side by side,
in one thread; times are those of the processor.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import click
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ptycho_mlf.studies.threshold.logistic import LOGIT_10, Counts, drop, fit_curve, position_interval
from ptycho_mlf.studies.threshold.next_rate import SLOPE_SHARE, Design, expected_gain, make_design, posterior

Floats = NDArray[np.floating]

LOW, HIGH, EDGE = -5.0, -2.0, 0.3
HALF_WIDTH = 0.1
MOST_RUNS = 1500
SCREEN = 1.06
"""The fit on the grid of the design is exact to a few per cent: only near the target is the curve fitted properly."""


@dataclass(frozen=True)
class Ended:
    """One repetition."""

    runs: int
    low: float
    high: float
    low10: float
    high10: float
    slope: float


class Screen:
    """Half-width of LR50's interval for many repetitions at once, on a grid of curves."""

    def __init__(self) -> None:
        # Single precision is enough to choose among candidates, and to tell which repetitions to look at.
        design = self.design = Design(*(table.astype(np.float32) for table in make_design(LOW, HIGH)))
        weight_HC = design.crash_HC * (1 - design.crash_HC)
        distance_HC = design.x_C - design.x50_H[:, None]
        self.information = [np.ascontiguousarray((weight_HC * distance_HC**power).T) for power in (0, 1, 2)]
        self.positions = np.unique(design.x50_H)

    def half_widths(self, log_likelihood_RH: Floats, runs_RC: Floats) -> Floats:
        zeroth, first, second = (runs_RC @ information for information in self.information)
        height_RH = log_likelihood_RH + 0.5 * np.log(np.maximum(zeroth * second - first**2, 1e-30))
        profile_RG = height_RH.reshape(len(height_RH), len(self.positions), -1).max(2)
        above_RG = profile_RG - profile_RG.max(1, keepdims=True) + drop(int(runs_RC[0].sum()))
        return (self._end(above_RG) + self._end(above_RG[:, ::-1]) - (len(self.positions) - 1)) * -0.5 * self._step

    @property
    def _step(self) -> float:
        return float(self.positions[1] - self.positions[0])

    @staticmethod
    def _end(above_RG: Floats) -> Floats:
        """Where the profile first reaches the bound, in steps; minus infinity where it is above from the start."""
        rows = np.arange(len(above_RG))
        inside = (above_RG >= 0).argmax(1)
        up, down = above_RG[rows, inside], above_RG[rows, np.maximum(inside - 1, 0)]
        return np.where(inside > 0, inside - up / np.maximum(up - down, 1e-12), -np.inf)


def simulate(k: float, design_name: str, repetitions: int, seed: int) -> tuple[list[Ended], Floats]:
    """All repetitions of one slope, and their true x50."""
    rng = np.random.default_rng([seed, round(10 * k)])
    truth_R = rng.uniform(LOW + EDGE, HIGH - EDGE, repetitions)
    offset_R = rng.random(repetitions)
    screen = Screen()
    design = screen.design
    size = len(design.x_C)
    ended: dict[int, Ended] = {}
    alive = np.arange(repetitions)
    look_R = np.full(repetitions, 4)
    crashes_RC, runs_RC = np.zeros((2, repetitions, size), np.float32)
    log_likelihood_RH = np.zeros((repetitions, len(design.x50_H)), np.float32)
    for n in range(1, MOST_RUNS + 1):
        rows = np.arange(len(alive))
        if design_name == "adaptive":
            chosen = most_informative(design, posterior(log_likelihood_RH))
        else:
            # Steps of the golden ratio: even at any number of runs.
            chosen = ((offset_R[alive] + n * (math.sqrt(5) - 1) / 2) % 1 * size).astype(int)
        crashed = rng.random(len(alive)) < expit(k * (design.x_C[chosen] - truth_R[alive]))
        crashes_RC[rows, chosen] += crashed
        runs_RC[rows, chosen] += 1
        log_likelihood_RH += np.where(crashed, design.log_crash_HC[:, chosen], design.log_survival_HC[:, chosen]).T
        due = np.flatnonzero(look_R[alive] <= n)
        if not len(due):
            continue
        width_R = screen.half_widths(log_likelihood_RH[due], runs_RC[due]) / (SCREEN * HALF_WIDTH)
        # Widths shrink as 1 / sqrt(n): far from the target there is no need to look after every run.
        look_R[alive[due]] = n + 1 + 0.2 * n * np.clip(width_R**2 - 1, 0, 2)
        near = due[width_R <= 1]
        found = {int(row): finish(design.x_C, runs_RC[row], crashes_RC[row]) for row in near}
        done = {row: end for row, end in found.items() if end}
        ended |= {int(alive[row]): end for row, end in done.items()}
        if design_name == "uniform":
            look_R[alive[near]] = n + 1 + n // 100  # To one per cent is enough for what costs several times as much.
        if done:
            keep = np.setdiff1d(rows, list(done))
            alive, crashes_RC, runs_RC = alive[keep], crashes_RC[keep], runs_RC[keep]
            log_likelihood_RH = log_likelihood_RH[keep]
        if not len(alive):
            break
    if len(alive):
        raise click.ClickException(f"{len(alive)} repetitions need more than {MOST_RUNS} runs")
    return [ended[repetition] for repetition in range(repetitions)], truth_R


def most_informative(design: Design, weight_RH: Floats) -> NDArray[np.int64]:
    """What `next_rate` chooses without pending runs, for many repetitions at once."""
    score_RC = np.zeros((len(weight_RH), len(design.x_C)))
    for value_H, share in ((design.x50_H, 1.0), (design.log_k_H, SLOPE_SHARE)):
        variance_R, gain_RC = expected_gain(design, weight_RH, value_H)
        score_RC -= share * gain_RC / variance_R[:, None]
    return score_RC.argmin(1)


def finish(x_C: Floats, runs_C: Floats, crashes_C: Floats) -> Ended | None:
    """The end of a repetition, if it is one."""
    tried, n = runs_C > 0, int(runs_C.sum())
    if crashes_C.sum() in (0, n):
        return None
    counts = Counts(*(table[tried].astype(float) for table in (x_C, runs_C, crashes_C)))
    curve = fit_curve(counts)
    if curve.slope <= 0:
        return None
    span = HIGH - LOW
    low, high = position_interval(counts, curve, 0.0, LOW - span, HIGH + span)
    if high - low > 2 * HALF_WIDTH:
        return None
    low10, high10 = position_interval(counts, curve, LOGIT_10, LOW - span, HIGH + span)
    return Ended(n, low, high, low10, high10, curve.slope)


@click.command()
@click.option("--repetitions", default=400)
@click.option("--seed", default=0)
@click.option("--slopes", default="3,5,8")
@click.option("--designs", default="adaptive,uniform")
def main(repetitions: int, seed: int, slopes: str, designs: str) -> None:
    """Print one row per slope and design."""
    print(
        "| k per decade | design | bound | runs: quartiles | median / bound | LR50 held | LR10 held | safe | "
        "LR10 -, + decades | slope found | s |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for k in map(float, slopes.split(",")):
        for name in designs.split(","):
            start = time.thread_time()
            ended, truth_R = simulate(k, name, repetitions, seed)
            bound = (1.96 / HALF_WIDTH) ** 2 * 4 / k**2
            quartiles = np.percentile([one.runs for one in ended], [25, 50, 75])
            truth10_R = truth_R + LOGIT_10 / k
            held = np.mean([one.low <= x <= one.high for one, x in zip(ended, truth_R, strict=True)])
            held10 = np.mean([one.low10 <= x <= one.high10 for one, x in zip(ended, truth10_R, strict=True)])
            safe = np.mean([one.low10 <= x for one, x in zip(ended, truth10_R, strict=True)])
            below = np.median([x - one.low10 for one, x in zip(ended, truth10_R, strict=True)])
            above = np.median([one.high10 - x for one, x in zip(ended, truth10_R, strict=True)])
            print(
                f"| {k:g} | {name} | {bound:.0f} | {' / '.join(f'{q:.0f}' for q in quartiles)} "
                f"| {quartiles[1] / bound:.2f} | {held:.1%} | {held10:.1%} | {safe:.1%} | {below:.2f}, {above:.2f} "
                f"| {np.median([one.slope for one in ended]):.1f} | {time.thread_time() - start:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
