"""Counts, differences, quality and time to failure of known runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ptycho_mlf.studies.report.collect import outcome_of
from ptycho_mlf.studies.report.data import Member
from ptycho_mlf.studies.report.estimates import contrasts, estimate, lives, qualities, stabilities
from ptycho_mlf.studies.report.findings import findings
from ptycho_mlf.studies.report.reproduce import differing_parameters
from ptycho_mlf.studies.report.skill_contrast import skill_contrasts
from ptycho_mlf.studies.statistics.survival import Life

from .make_study import arm, member, study


@pytest.mark.parametrize(
    ("tags", "outcome"),
    [
        ({"verdict": "nonfinite", "verdict.crash": "true"}, "crashed"),
        ({"verdict": "spike", "verdict.crash": "false"}, "survived"),
        ({"verdict": "stagnated", "verdict.crash": "none"}, "stagnated"),
        ({"verdict": "oom", "verdict.crash": "none"}, "oom"),
        ({"verdict": "healthy", "verdict.crash": "none", "pruned": "true"}, "pruned"),
        ({}, "none"),
    ],
)
def test_what_a_run_says_about_stability(tags, outcome):
    assert outcome_of(tags) == outcome


def test_only_crashed_and_survived_runs_make_a_probability():
    outcomes = ["crashed"] * 1 + ["survived"] * 2 + ["stagnated", "oom", "pruned", "none"]
    (found,) = stabilities(study(*(member(k, outcome=outcome) for k, outcome in enumerate(outcomes))))
    assert (found.crash.k, found.crash.n, found.runs) == (1, 3, 7)
    assert (found.pruned, found.without_verdict) == (1, 1)
    assert found.verdicts == {"diverged": 1, "healthy": 2, "stagnated": 1, "oom": 1}
    # The interval of one in three.
    assert found.crash.interval == pytest.approx((0.061, 0.792), abs=1e-3)


def test_shared_seeds_are_tested_in_pairs():
    (found,) = contrasts(study(*arm("a", 10, 10), *arm("b", 0, 10)))
    assert (found.difference, found.shared, found.only_first, found.only_second) == (1, 10, 10, 0)
    assert found.p_value == pytest.approx(2 * 0.5**10)
    assert found.established
    # Five seeds cannot establish anything, whatever they show.
    (found,) = contrasts(study(*arm("a", 5, 5), *arm("b", 0, 5)))
    assert found.p_value == pytest.approx(2 * 0.5**5)
    assert not found.established


def test_every_pair_of_arms_costs_certainty():
    found = contrasts(study(*arm("a", 6, 6), *arm("b", 0, 6), *arm("c", 0, 6)))
    assert [one.p_value for one in found] == pytest.approx([6 * 0.5**6, 6 * 0.5**6, 1.0])
    assert not any(one.established for one in found)


def test_other_seeds_are_compared_by_newcombe():
    # Newcombe 1998, table II: 56/70 and 48/80.
    (found,) = contrasts(study(*arm("a", 56, 70), *arm("b", 48, 80, first_seed=1000)))
    assert found.interval == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert found.established


def test_quality_over_all_seeds_counts_a_missing_score_as_the_worst():
    skills = [0.9, 0.8, None, 0.1]
    outcomes = ["survived", "survived", "crashed", "crashed"]
    runs = [
        member(k, outcome=outcome, metrics={} if skill is None else {"val/skill_best": skill, "val/skill_last": 0.05})
        for k, (skill, outcome) in enumerate(zip(skills, outcomes, strict=True))
    ]
    runs += [member(8, outcome="none", metrics={"val/skill_best": 1.0}), member(9, outcome="pruned")]
    (found,) = qualities(study(*runs))
    score = found.best["validation skill"]
    assert score is not None
    assert (score.all.n, score.all.median) == (4, pytest.approx(0.45))
    assert score.all.q25 == -math.inf
    assert (score.survivors.n, score.survivors.median) == (2, pytest.approx(0.85))
    gap = found.gap["validation skill"]
    assert gap is not None
    assert (gap.n, gap.median) == (3, pytest.approx(np.median([0.85, 0.75, 0.05])))
    assert found.best["SSIM phase"] is None


def with_skill(name: str, skills: Sequence[float | None], first_seed: int = 0, **changes: Any) -> list[Member]:
    metrics = [{} if skill is None else {"val/skill_best": skill} for skill in skills]
    return [member(first_seed + k, name, metrics=one, **changes) for k, one in enumerate(metrics)]


def test_skills_are_compared_seed_by_seed():
    # The arms overlap widely, but every seed is better in the first: 2 of the 2^6 patterns of signs are as extreme.
    high, low = [0.15, 0.35, 0.5, 0.65, 0.75, 0.95], [0.1, 0.2, 0.4, 0.6, 0.7, 0.85]
    (found,) = skill_contrasts(study(*with_skill("a", high), *with_skill("b", low)))
    assert (found.first, found.second, found.shared, found.left_out) == ("a", "b", 6, 0)
    assert found.median == pytest.approx(0.075)
    assert found.interval == pytest.approx((0.05, 0.15)), "all six: sure to 1 - 2^-5"
    assert found.p_value == pytest.approx(2 / 2**6)
    assert found.established
    said = sentences(*with_skill("a", high), *with_skill("b", low))
    assert "Validation skill on shared seeds, established beyond chance: a above b (by 0.075, 6 seeds)." in said
    assert not any("not tested" in one for one in said)


def test_what_cannot_be_compared_seed_by_seed():
    six = [0.9] * 6
    (found,) = skill_contrasts(study(*with_skill("a", [0.1, 0.2, None]), *with_skill("b", [0.2, 0.4, 0.5])))
    assert (found.shared, found.left_out, found.median) == (2, 1, pytest.approx(-0.15))
    assert found.interval == (-math.inf, math.inf)
    assert not found.established
    assert not skill_contrasts(study(*with_skill("a", six), *with_skill("b", six, first_seed=100))), "other seeds"
    rates = [{"learning_rate": f"{k + 1}e-3"} for k in range(6)]
    mixed = [member(k, "b", metrics={"val/skill_best": 0.1}, params=params) for k, params in enumerate(rates)]
    assert not skill_contrasts(study(*with_skill("a", six), *mixed)), "an arm of several rates is no cell"
    assert not skill_contrasts(study(*with_skill("a", six), *with_skill("b", six, outcome="pruned")))
    # Three arms are three pairs: what would do for one is not enough for them.
    high, low = [0.15, 0.35, 0.5, 0.65, 0.75, 0.95], [0.1, 0.2, 0.4, 0.6, 0.7, 0.85]
    found = skill_contrasts(study(*with_skill("a", high), *with_skill("b", low), *with_skill("c", low)))
    assert [one.p_value for one in found] == pytest.approx([6 / 2**6, 6 / 2**6, 1.0])
    assert not any(one.established for one in found)


def test_lives_are_censored_where_nothing_crashed():
    runs = [
        member(1, outcome="crashed", onset_step=7, steps=50),
        member(2, outcome="crashed", steps=50),
        member(3, steps=40),
        member(4, outcome="stagnated", steps=30),
        *(member(5 + k, outcome=outcome, steps=9) for k, outcome in enumerate(("oom", "pruned", "none"))),
    ]
    assert lives(runs) == [Life(7, True), Life(50, True), Life(40, False), Life(30, False)]


def test_values_that_mean_the_same_are_no_difference():
    runs = [
        member(
            1, "a", params={"learning_rate": "3e-4", "set_phi": "True", "seed": "1", "cache_dir": "x", "probe": "''"}
        ),
        member(
            2, "a", params={"learning_rate": "0.0003", "set_phi": "true", "seed": "2", "cache_dir": "y", "probe": ""}
        ),
        member(3, "b", params={"learning_rate": "0.0003", "set_phi": "true", "probe": "", "width": "16"}),
    ]
    assert differing_parameters(study(*runs)) == {"width": {"a": "32", "b": "16"}}
    rates = [member(k, params={"learning_rate": f"{k + 1}e-4"}) for k in range(9)]
    assert differing_parameters(study(*rates)) == {"learning_rate": {"a": "1e-4 to 9e-4 (9 values)"}}
    rates = [member(k, params={"learning_rate": f"0.00{k + 1}349654391578276"}) for k in range(9)]
    assert differing_parameters(study(*rates)) == {"learning_rate": {"a": "0.00135 to 0.00935 (9 values)"}}


def sentences(*runs, **changes) -> list[str]:
    data = study(*runs, **changes)
    return findings(data, estimate(data))


def test_the_first_sentence_refuses_to_rank_different_data():
    scored = [member(k, f"arm{k}", metrics={"val/skill_best": 0.5}, dataset_hash=f"d{k}") for k in range(2)]
    found = sentences(*scored)
    assert found[0] == "Not ranked: these runs saw different data (dataset hashes d0, d1)."
    assert not any("skill" in text or "establish" in text.lower() for text in found)


def test_sentences_claim_no_more_than_the_runs_show():
    found = sentences(
        *arm("calm", 0, 3), *arm("hot", 3, 3), member(90, "calm", "none"), member(91, "calm", "stagnated")
    )
    assert found[0] == (
        "Crashes, with 95 % interval of their probability: calm in 0 of 3 (0 to 56 %); hot in 3 of 3 (44 to 100 %)."
    )
    assert found[1] == "These runs do not establish a difference in stability between the two arms."
    assert found[-1].startswith(
        "Counted apart, in no crash probability: 1 run never learned (stagnated) and 1 run without"
    )
    sure = sentences(*arm("calm", 0, 12), *arm("hot", 12, 12), impossible={"deep": "too deep"})
    assert sure[1] == "Established beyond chance: hot crashes more often than calm (by 100 % of the runs)."
    assert sure[-1].endswith("1 arm impossible at this size.")
