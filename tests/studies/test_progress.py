"""The count at the head of every line."""

from __future__ import annotations

import optuna

from ptycho_mlf.studies.progress import Progress


def test_what_others_ended_is_counted_but_told_only_by_a_look():
    study, lines = optuna.create_study(), list[str]()
    study.add_trial(optuna.create_trial(value=0.0))
    progress = Progress(study, lambda: 9, lines.append)
    mine, others = study.ask(), study.ask()
    study.tell(others, 0.0)
    progress.tell(study.tell(mine, 0.0))
    assert [line.split()[0] for line in lines] == ["[3/9]"]
    for _ in range(2):
        study.tell(study.ask(), 0.0)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    progress.look()
    progress.look()
    assert [line.split(":")[0].split(";")[0].split()[0] for line in lines] == ["[3/9]", "[4/9]", "[5/9]", "trial"]
