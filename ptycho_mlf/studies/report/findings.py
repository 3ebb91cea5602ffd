"""What was found, in sentences: nothing is ranked across different data, nothing is called a difference by chance."""

from __future__ import annotations

from collections.abc import Sequence

from .data import StudyData
from .estimates import Contrast, Estimates, Quality, Stability, learning_rates, ranking
from .texts import listed, number, percent, percents, plural


def findings(data: StudyData, found: Estimates) -> list[str]:
    """Sentences, the most important first; the first one refuses to rank where the runs saw different data."""
    sentences: list[str] = []
    if not data.comparable:
        hashes = ", ".join(data.dataset_hashes)
        sentences.append(f"Not ranked: these runs saw different data (dataset hashes {hashes}).")
    sentences += _crashes(data, found.stability)
    if data.comparable:
        sentences += _differences(found.contrasts)
        sentences += _best(found.quality)
    sentences += _left_out(data, found.stability)
    return sentences


def _crashes(data: StudyData, found: Sequence[Stability]) -> list[str]:
    counting = [one for one in found if one.crash.n]
    if not counting:
        return ["No run has ended with a verdict that counts for or against stability."]
    single = [one for one in counting if len(learning_rates(data.of(one.arm))) <= 1]
    sentences: list[str] = []
    if single:
        parts = [f"{one.arm} in {one.crash.k} of {one.crash.n} ({percents(one.crash.interval)})" for one in single[:6]]
        more = f", and {len(single) - 6} more arms below" if len(single) > 6 else ""
        sentences.append(f"Crashed, with 95 % interval of the probability: {'; '.join(parts)}{more}.")
    several = [one for one in counting if one not in single]
    sentences += [
        f"{one.arm} crashed in {one.crash.k} of {one.crash.n} runs over {plural(len(one.rates), 'learning rate')}."
        for one in several[:6]
    ]
    return sentences


def _differences(found: Sequence[Contrast]) -> list[str]:
    if not found:
        return []
    sure = [one for one in found if one.established]
    if not sure:
        what = "the two arms" if len(found) == 1 else "any two arms"
        return [f"These runs do not establish a difference in stability between {what}."]
    texts: list[str] = []
    for one in sure[:4]:
        more, less = (one.first, one.second) if one.difference > 0 else (one.second, one.first)
        texts.append(f"{more} crashes more often than {less} (by {percent(abs(one.difference))} of the runs)")
    more = f"; {len(sure) - 4} more such pairs below" if len(sure) > 4 else ""
    return [f"Established beyond chance: {'; '.join(texts)}{more}."]


def _best(found: Sequence[Quality]) -> list[str]:
    ranked = [(arm, spread) for arm, spread in ranking(found) if spread.median is not None]
    if not ranked:
        return []
    arm, top = ranked[0]
    text = f"median {number(top.median)}, quartiles {number(top.q25)} to {number(top.q75)}, {plural(top.n, 'seed')}"
    if len(ranked) == 1:
        return [f"Validation skill of the best weights of {arm}: {text}."]
    return [f"Best validation skill over all seeds: {arm} ({text}); it ranks the arms, test scores do not."]


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
