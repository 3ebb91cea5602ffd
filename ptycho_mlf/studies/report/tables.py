"""The tables of a report, made once and written as HTML and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from ptycho_mlf.telemetry.verdict_names import VerdictName

from ..statistics.proportion import Proportion
from ..statistics.survival import SurvivalCurve
from ..threshold.sentences import rounded_down
from .data import StudyData
from .estimates import MEASURES, Contrast, Quality, Stability, Weights
from .rates import MOST_RATES, RateAnswer
from .reproduce import RATE, differing_parameters
from .skill_contrast import SkillContrast
from .texts import NONE, counted, number, percent, percents, plural, probability, quartiles, rate_with_interval

VERDICTS: tuple[str, ...] = get_args(VerdictName)


@dataclass(frozen=True)
class Interval:
    """A cell that the page draws: a share with its interval."""

    arm: int
    found: Proportion


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings; an `Interval` is a drawing, which Markdown leaves out."""

    heads: tuple[str, ...]
    rows: list[list[str | Interval]]
    caption: str = ""
    text: frozenset[int] = frozenset({0})
    """Columns of words, aligned to the left."""
    wrap: frozenset[int] = frozenset()
    """Columns of long texts, which may take several lines."""


def stability_table(data: StudyData, found: Sequence[Stability]) -> Table:
    """Verdicts of every arm and the probability of a crash."""
    verdicts = [name for name in reversed(VERDICTS) if any(one.verdicts.get(name) for one in found)]
    pruned, unknown = any(one.pruned for one in found), any(one.without_verdict for one in found)
    extra = [*(["pruned"] if pruned else []), *(["no verdict"] if unknown else [])]
    rows: list[list[str | Interval]] = []
    for index, one in enumerate(found):
        counts = [str(one.verdicts.get(name, 0) or "") for name in verdicts]
        counts += [str(one.pruned or "")] if pruned else []
        counts += [str(one.without_verdict or "")] if unknown else []
        share: list[str | Interval] = [probability(one.crash), Interval(index, one.crash)]
        if one.varying:
            share = ["several learning rates" if one.varying == (RATE,) else "several settings", ""]
        rows.append([one.arm, str(one.runs), counted(one.crash), *share, *counts])
    blank: list[str | Interval] = [""] * (len(verdicts) + len(extra))
    rows += [[arm, NONE, NONE, "impossible", "", *blank] for arm in data.impossible]
    caption = (
        "P(crash): crashed of crashed and survived runs (verdicts healthy and spike) with 95 % Wilson interval. "
        "Stagnated runs, runs out of memory, given up early or without a verdict, and impossible arms are not in it."
    )
    return Table(("arm", "runs", "crashed", "P(crash)", "0 to 100 %", *verdicts, *extra), rows, caption)


def rates_table(found: Sequence[Stability], answers: Mapping[str, RateAnswer]) -> Table | None:
    """Crashes by learning rate, or by parts of the range, of the arms that ran at several; None if none did."""
    rows: list[list[str | Interval]] = []
    for index, one in enumerate(found):
        threshold = answers[one.arm].threshold if one.arm in answers else None
        if threshold is None:
            continue
        cells = {f"{rate:.4g}": crash for rate, crash in one.rates.items() if crash.n}
        if len(cells) > MOST_RATES:
            cells = {f"{part.low:.3g} to {part.high:.3g}": part.crashes for part in threshold.bins}
        for rates, crash in cells.items():
            rows.append([one.arm, rates, counted(crash), probability(crash), Interval(index, crash)])
    heads = ("arm", "learning rate", "crashed", "P(crash)", "0 to 100 %")
    caption = "Raw counts with 95 % Wilson intervals, at each rate or, if there are many, in equal parts of the range."
    return Table(heads, rows, caption) if rows else None


def threshold_table(answers: Mapping[str, RateAnswer]) -> Table | None:
    """LR50, LR10, stable range and sensitivity of the arms that ran at several rates; None if none did."""
    if not answers:
        return None
    rows: list[list[str | Interval]] = [[arm, *_rate_cells(answer)] for arm, answer in answers.items()]
    heads = ("arm", "use lr ≤", "LR50", "LR10", "slope per decade", "stable range", "decades", "S", "S_n")
    caption = (
        "LR50, LR10: learning rates at which half and a tenth of the runs crash, with 95 % interval; an arrow marks an "
        "end that the runs leave open. Use: the lower end of LR10's interval. Stable range: median final loss within "
        "5 % of the possible gain. S: mean excess of the final loss over the rates tried; S_n: normalised, from 0 to 1."
    )
    return Table(heads, rows, caption)


def _rate_cells(answer: RateAnswer) -> list[str]:
    threshold, stable, cost = answer.threshold, answer.stable, answer.sensitivity
    cells = [NONE] * 4
    if threshold is not None:
        slope = NONE if threshold.slope is None else f"{threshold.slope:.3g}"
        use = NONE if threshold.usable is None else f"{rounded_down(threshold.usable):.2g}"
        cells = [
            use,
            rate_with_interval(threshold.lr50, threshold.lr50_interval),
            rate_with_interval(threshold.lr10, threshold.lr10_interval),
            slope if threshold.rising else f"{slope} (rise not established)",
        ]
    if stable is None:
        cells += [NONE, NONE]
    else:
        least = "≥ " if stable.low_open or stable.high_open else ""
        low, high = ("≤ " if stable.low_open else ""), ("≥ " if stable.high_open else "")
        cells += [f"{low}{stable.low:.3g} to {high}{stable.high:.3g}", f"{least}{stable.decades:.2f}"]
    if cost is None:
        return [*cells, NONE, NONE]
    return [*cells, f"{cost.s:.3g}", NONE if cost.normalised is None else f"{cost.normalised:.2f}"]


def contrast_table(found: Sequence[Contrast], most: int = 15) -> Table | None:
    """Differences of crash probabilities; None without a pair of arms."""
    if not found:
        return None
    rows: list[list[str | Interval]] = []
    for one in found[:most]:
        if one.p_value is not None:
            how = f"{plural(one.shared, 'shared seed')}, crashed only in the first: {one.only_first}, "
            how += f"only in the second: {one.only_second}; p = {one.p_value:.2g}"
        else:
            how = "" if one.interval is None else f"interval {percents(one.interval)}".replace("-", "−")
        sign = "+" if one.difference > 0 else "−" if one.difference < 0 else ""
        verdict = "established" if one.established else "not established"
        rows.append([one.first, one.second, f"{sign}{percent(abs(one.difference))}", verdict, how])
    more = f" {len(found) - most} pairs more are not listed." if len(found) > most else ""
    caption = (
        "Crash probability of the first arm minus that of the second. On shared seeds McNemar's exact test decides, "
        f"else Newcombe's interval; both allow for all {plural(len(found), 'pair')} (Bonferroni, 5 % together).{more}"
    )
    heads = ("first", "second", "difference", "result", "evidence")
    return Table(heads, rows, caption, frozenset({0, 1, 3, 4}), frozenset({4}))


def skill_contrast_table(found: Sequence[SkillContrast], most: int = 15) -> Table | None:
    """Differences of the validation skill on shared seeds; None without a pair of arms that shares any."""
    if not found:
        return None
    rows: list[list[str | Interval]] = []
    for one in found[:most]:
        seeds = f"{one.shared} ({one.left_out} left out)" if one.left_out else str(one.shared)
        ends = f"{number(one.interval.low)} to {number(one.interval.high)}"
        result = "established" if one.established else "not established"
        rows.append([one.first, one.second, f"{number(one.median)} ({ends})", seeds, f"{one.p_value:.2g}", result])
    more = f" {len(found) - most} pairs more are not listed." if len(found) > most else ""
    caption = (
        "Validation skill of the best weights of the first arm minus that of the second, seed by seed: median with "
        "interval from order statistics, and p of Wilcoxon's signed-rank test; both allow for all "
        f"{plural(len(found), 'pair')} (Bonferroni, 5 % together). Fewer than 6 seeds bound no interval. Left out: "
        f"seeds without a finite skill in one of the arms.{more}"
    )
    heads = ("first", "second", "difference of skill", "shared seeds", "p", "result")
    return Table(heads, rows, caption, frozenset({0, 1, 5}))


def quality_table(found: Sequence[Quality], weights: Weights, mixed: bool) -> Table | None:
    """Median and quartiles over all seeds and over survivors; None if no run has scores of these weights.

    `mixed` says that there are arms whose runs differ in more than the seed.
    """
    if not any(score for one in found for score in one.scores(weights).values()):
        return None
    rows: list[list[str | Interval]] = []
    for one in found:
        scores = one.scores(weights)
        sizes = next(((str(s.all.n), str(s.survivors.n)) for s in scores.values() if s is not None), (NONE, NONE))
        parts = [(quartiles(s.all), quartiles(s.survivors)) if s is not None else (NONE, NONE) for s in scores.values()]
        for place, over in enumerate(("all seeds", "survivors")):
            rows.append([one.arm if place == 0 else "", over, sizes[place], *(part[place] for part in parts)])
    chosen = "chosen by the lowest validation loss" if weights == "best" else "after the final step"
    caption = (
        f"Weights {chosen}. Median (quartiles) over all seeds, and over those that did not crash; SSIM on the test "
        "object. A run without a value counts as the worst (−∞). Runs without a verdict or given up early are left out."
    )
    caption += " Arms that ran at several rates or settings: over all of them." if mixed else ""
    return Table(("arm", "over", "runs", *MEASURES.values()), rows, caption, frozenset({0, 1}))


def gap_table(found: Sequence[Quality]) -> Table | None:
    """What the last weights lose against the best; None where only one of them was scored."""
    rows: list[list[str | Interval]] = [
        [
            one.arm,
            str(max(gap.n for gap in one.gap.values() if gap)),
            *(quartiles(one.gap[n]) for n in MEASURES.values()),
        ]
        for one in found
        if any(one.gap.values())
    ]
    heads = ("arm", "runs", *(f"{name}, best − last" for name in MEASURES.values()))
    caption = "Median (quartiles) of best minus last of the runs that have both. Near 0: nothing was lost again."
    return Table(heads, rows, caption) if rows else None


def survival_table(curves: Mapping[str, SurvivalCurve]) -> Table | None:
    """Steps to failure, with survivors censored; None without any run to tell from."""
    rows: list[list[str | Interval]] = []
    for arm, curve in curves.items():
        steps = [
            NONE if step is None else f"{step:g}" for step in (curve.quartiles[0], curve.median, curve.quartiles[1])
        ]
        rows.append([arm, str(curve.runs), str(curve.failures), *steps])
    heads = ("arm", "runs", "failed", "a quarter by step", "half by step", "three quarters by step")
    caption = f"First step at which that share has crashed, by Kaplan-Meier; {NONE} where it is not reached."
    return Table(heads, rows, caption) if rows else None


def differences_table(data: StudyData) -> Table | None:
    """Parameters that are not the same in all runs; None if all are."""
    found = differing_parameters(data)
    if not found:
        return None
    rows: list[list[str | Interval]] = [[name, *(values[arm] for arm in data.arms)] for name, values in found.items()]
    caption = "Only parameters that differ, the seed left out. All others are the same in every run."
    return Table(("parameter", *data.arms), rows, caption, frozenset(range(len(data.arms) + 1)))


def datasets_table(data: StudyData) -> Table:
    """Dataset hashes, and which arms saw them."""
    rows: list[list[str | Interval]] = []
    for digest in data.dataset_hashes:
        members = [member for member in data.members if member.dataset_hash == digest]
        arms = list(dict.fromkeys(member.arm for member in members))
        floors = sorted({member.metrics["floor/best"] for member in members if "floor/best" in member.metrics})
        floor = ", ".join(number(value, 4) for value in floors[:3])
        rows.append([digest, str(len(members)), floor, ", ".join(arms)])
    caption = "Floor: validation loss of the best constant object; a network that scores it has learned nothing."
    return Table(("dataset hash", "runs", "floor", "arms"), rows, caption, frozenset({0, 3}), frozenset({3}))
