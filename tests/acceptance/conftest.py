"""The published numbers this package has to reproduce, one item per number in acceptance.json."""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ptycho_mlf.config import DataConfig
from ptycho_mlf.scan import Scan
from ptycho_mlf.simulation import simulate


class Expected(NamedTuple):
    value: Any
    tol: float
    kind: str
    """`abs`, `rel` or `exact`."""


class Acceptance:
    """Look an item up with `acceptance(id)`, compare a value with it with `acceptance.check(id, value)`."""

    def __init__(self, path: Path) -> None:
        items = json.loads(path.read_text())
        self._items = {item["id"]: Expected(item["expected"], item["tol"], item["tol_kind"]) for item in items}

    def __call__(self, id: str) -> Expected:
        return self._items[id]

    def ids(self, prefix: str) -> list[str]:
        """Items whose id starts with `prefix`; at least one."""
        found = [name for name in self._items if name.startswith(prefix)]
        assert found, f"no acceptance item starts with {prefix}"
        return found

    def check(self, id: str, value: Any) -> None:
        """Compare a number, or a list or dict of numbers of the same layout, with the item."""
        expected, tol, kind = self._items[id]
        for name, want, got in _leaves(id, expected, value):
            limit = {"exact": 0.0, "abs": tol, "rel": tol * (abs(want) or 1.0)}[kind]
            assert abs(float(got) - want) <= limit, f"{name}: {got} is not {want} to {tol} ({kind})"


def _leaves(name: str, want: Any, got: Any):
    if isinstance(want, Mapping):
        assert set(want) == set(got), f"{name}: keys {sorted(got)} are not {sorted(want)}"
        for key in want:
            yield from _leaves(f"{name}[{key}]", want[key], got[key])
    elif isinstance(want, Sequence):
        assert len(want) == len(got), f"{name}: {len(got)} values, not {len(want)}"
        for i, (w, g) in enumerate(zip(want, got, strict=True)):
            yield from _leaves(f"{name}[{i}]", w, g)
    else:
        yield name, want, got


@pytest.fixture(scope="session")
def acceptance() -> Acceptance:
    return Acceptance(Path(__file__).with_name("acceptance.json"))


@pytest.fixture(scope="session")
def simulated():
    """Takes data settings, gives the train and the test scan; the last two data sets are kept for the next test."""

    @functools.lru_cache(maxsize=2)
    def scans(**settings: Any) -> tuple[Scan, Scan]:
        return simulate(DataConfig(**settings))

    return scans
