"""Hold-out, guard rows, subset and hash."""

from __future__ import annotations

import numpy as np

from ptycho_mlf.config import RunConfig
from ptycho_mlf.scan import ScanGrid
from ptycho_mlf.training.holdout import hold_out

TRAIN, TEST = ScanGrid(images=2, rows=13, columns=13, stride=4), ScanGrid(images=1, rows=5, columns=5, stride=10)
BASE = {"N": 16, "size": 64, "nimgs_train": 2, "modes": 4, "fno_blocks": 2}


def split(**settings):
    return hold_out(RunConfig.from_flat({**BASE, **settings}), TRAIN, TEST)


def rows_of(index) -> set[tuple[int, int]]:
    return {(i // 169, i % 169 // 13) for i in np.asarray(index).tolist()}


def test_the_last_rows_of_every_object_validate():
    holdout = split(val_fraction=0.1)
    assert rows_of(holdout.val) == {(image, row) for image in (0, 1) for row in (11, 12)}
    assert rows_of(holdout.train) == {(image, row) for image in (0, 1) for row in range(11)}
    assert len(holdout.train) + len(holdout.val) == 338
    assert holdout.val_scan == "train"


def test_guard_rows_belong_to_neither():
    holdout = split(val_fraction=0.1, val_guard_rows=3)
    assert rows_of(holdout.train) == {(image, row) for image in (0, 1) for row in range(8)}
    assert rows_of(holdout.val) == rows_of(split(val_fraction=0.1).val)


def test_the_subset_is_drawn_after_the_hold_out_by_its_own_seed():
    first, again, other = split(train_patterns=50), split(train_patterns=50), split(train_patterns=50, split_seed=1)
    assert np.array_equal(first.train, again.train)
    assert not np.array_equal(first.train, other.train)
    assert len(set(first.train.tolist())) == 50
    assert set(first.train.tolist()) <= set(split().train.tolist())
    assert np.array_equal(first.val, split().val)


def test_the_earlier_study_validated_on_the_test_scan():
    holdout = split(val_source="test")
    assert len(holdout.train) == 338
    assert holdout.val_scan == "test"
    assert len(holdout.val) == 25


def test_the_hash_covers_data_and_split():
    hashes = {
        split().dataset_hash("a"),
        split().dataset_hash("b"),
        split(val_fraction=0.3).dataset_hash("a"),
        split(val_guard_rows=1).dataset_hash("a"),
        split(train_patterns=50).dataset_hash("a"),
        split(val_source="test").dataset_hash("a"),
    }
    assert len(hashes) == 6
    assert split().dataset_hash("a") == split().dataset_hash("a")
