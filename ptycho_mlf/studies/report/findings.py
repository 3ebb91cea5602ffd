"""What was found, in sentences: nothing is ranked across different data, nothing is called a difference by chance."""

from __future__ import annotations

from collections.abc import Sequence

from ..threshold.sentences import advice, doubts, finding
from .data import StudyData
from .estimates import Contrast, Estimates, Stability, ranking
from .reproduce import RATE
from .skill_contrast import SkillContrast
from .texts import listed, number, percent, percents, plural

_MOST = 6
"""Arms that are named in one sentence, or in one each."""
_MOST_PAIRS = 4
"""Pairs of arms that are told in one sentence."""


def findings(data: StudyData, found: Estimates) -> list[str]:
    """Sentences, the most important first; the first one refuses to rank where the runs saw different data."""
    sentences: list[str] = []
    if not data.comparable:
        hashes = ", ".join(data.dataset_hashes)
        sentences.append(f"Not ranked: these runs saw different data (dataset hashes {hashes}).")
    sentences += _thresholds(found)
    sentences += _crashes(found.stability)
    if data.comparable:
        sentences += _differences(found.contrasts)
        sentences += _best(found)
        sentences += _skills(found.skill)
    sentences += _left_out(data, found.stability)
    return sentences


def _thresholds(found: Estimates) -> list[str]:
    """A paragraph per arm that ran at several learning rates: what to use, what was found, what to doubt."""
    thresholds = {arm: answer.threshold for arm, answer in found.rates.items() if answer.threshold is not None}
    return [
        " ".join([f"{arm}: {advice(one).removesuffix('.')}.", finding(one), *doubts(one)])
        for arm, one in list(thresholds.items())[:_MOST]
    ]


def _crashes(found: Sequence[Stability]) -> list[str]:
    counting = [one for one in found if one.crash.n]
    if not counting:
        return ["No run has ended with a verdict that counts for or against stability."]
    cells = [one for one in counting if not one.varying]
    parts = [f"{one.arm} in {one.crash.k} of {one.crash.n} ({percents(one.crash.interval)})" for one in cells[:_MOST]]
    more = f", and {len(cells) - _MOST} more arms below" if len(cells) > _MOST else ""
    first = [f"Crashes, with 95 % interval of their probability: {'; '.join(parts)}{more}."] if parts else []
    mixed = [one for one in counting if one.varying and one.varying != (RATE,)]
    return first + [
        f"{one.arm}: {one.crash.k} of {one.crash.n} runs crashed; they differ in {listed([*one.varying])}."
        for one in mixed[:_MOST]
    ]


def _differences(found: Sequence[Contrast]) -> list[str]:
    if not found:
        return []
    sure = [one for one in found if one.established]
    if not sure:
        return [f"These runs do not establish a difference in stability between {_whom(found)}."]
    texts: list[str] = []
    for one in sure[:_MOST_PAIRS]:
        more, less = (one.first, one.second) if one.difference > 0 else (one.second, one.first)
        texts.append(f"{more} crashes more often than {less} (by {percent(abs(one.difference))} of the runs)")
    return [f"Established beyond chance: {_pairs(texts, len(sure))}."]


def _best(found: Estimates) -> list[str]:
    cells = {one.arm for one in found.stability if not one.varying}
    ranked = [(arm, spread) for arm, spread in ranking(found.quality) if spread.median is not None and arm in cells]
    if not ranked:
        return []
    arm, top = ranked[0]
    text = f"median {number(top.median)}, quartiles {number(top.q25)} to {number(top.q75)}, {plural(top.n, 'seed')}"
    if len(ranked) == 1:
        return [f"Validation skill of the best weights of {arm}: {text}."]
    doubt = "" if found.skill else "; whether by chance is not tested"
    return [f"Highest median of the validation skill over all seeds: {arm} ({text}){doubt}."]


def _skills(found: Sequence[SkillContrast]) -> list[str]:
    if not found:
        return []
    sure = [one for one in found if one.established]
    if not sure:
        whom = _whom(found)
        return [f"On shared seeds, these runs do not establish a difference in validation skill between {whom}."]
    texts: list[str] = []
    for one in sure[:_MOST_PAIRS]:
        more, less = (one.first, one.second) if one.median > 0 else (one.second, one.first)
        texts.append(f"{more} above {less} (by {number(abs(one.median))}, {plural(one.shared, 'seed')})")
    return [f"Validation skill on shared seeds, established beyond chance: {_pairs(texts, len(sure))}."]


def _whom(pairs: Sequence[object]) -> str:
    return "the two arms" if len(pairs) == 1 else "any two arms"


def _pairs(texts: Sequence[str], count: int) -> str:
    """The pairs that are told, and how many are not."""
    more = f"; {count - len(texts)} more such pairs below" if count > len(texts) else ""
    return "; ".join(texts) + more


def _left_out(data: StudyData, found: Sequence[Stability]) -> list[str]:
    stagnated, oom = (sum(one.verdicts.get(name, 0) for one in found) for name in ("stagnated", "oom"))
    pruned, unknown = sum(one.pruned for one in found), sum(one.without_verdict for one in found)
    parts = [
        f"{plural(count, 'run')} {text}"
        for count, text in (
            (stagnated, "never learned (stagnated)"),
            (oom, "ran out of memory"),
            (pruned, "given up early by the search"),
            (unknown, "without a verdict (killed, failed or still running)"),
        )
        if count
    ]
    if data.impossible:
        parts.append(f"{plural(len(data.impossible), 'arm')} impossible at this size")
    return [f"Counted apart, in no crash probability: {listed(parts)}."] if parts else []
