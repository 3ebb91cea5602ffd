"""Content-addressed cache of simulated data sets: one folder per key.

A folder appears by one rename, complete, and never changes: readers need no lock.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from ..config import DataConfig, InputError
from ..launch import user_path
from .cache_entry import DamagedError, load_entry, save_entry
from .dataset import Dataset, dataset_key, simulate

CACHE_VARIABLE = "PTYCHO_MLF_CACHE"
"""Environment variable that names the cache folder."""

_log = logging.getLogger(__name__)


def cache_folder(cache_dir: Path | None) -> Path:
    """The argument, or else the folder named by PTYCHO_MLF_CACHE, or else the user's cache folder."""
    named = cache_dir or os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("ptycho_mlf", appauthor=False)
    return user_path(str(named)).absolute()


def load_or_simulate(data: DataConfig, cache_dir: Path | None = None) -> Dataset:
    """The data set of some settings: from the cache, or simulated and put there.

    Processes that ask for the same data set at the same time simulate it once. A damaged entry is moved aside and
    simulated again, with a warning. The arrays are copy-on-write maps of the files: processes share their memory.

    Args:
        data: the settings.
        cache_dir: the cache folder; None as `cache_folder` says.

    Raises:
        InputError: settings that cannot be simulated, or a cache folder that cannot be used.
    """
    key = dataset_key(data)
    folder = cache_folder(cache_dir)
    entry = folder / key
    try:
        # A damaged entry may be under repair by another process: what to do is decided under the lock.
        with suppress(DamagedError):
            if entry.exists():
                return load_entry(entry, key)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{key}.lock", key):
            return _load_or_build(data, entry, key)
    except OSError as error:
        raise InputError(
            f"cache_dir={folder}: the dataset cache cannot be used ({error.strerror or error}); "
            f"name a writable folder with cache_dir or {CACHE_VARIABLE}"
        ) from None


@contextmanager
def _locked(path: Path, key: str) -> Generator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"ptycho_mlf: waiting for the process that simulates dataset {key} (it holds {path})", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _load_or_build(data: DataConfig, entry: Path, key: str) -> Dataset:
    if entry.exists():
        try:
            return load_entry(entry, key)
        except DamagedError as damage:
            aside = entry.with_name(f"{key}.damaged")
            if aside.exists():
                shutil.rmtree(aside)
            entry.rename(aside)
            _log.warning("dataset %s is damaged (%s): moved to %s, simulating it again", key, damage, aside)
    _log.info("simulating dataset %s into %s", key, entry)
    building = entry.with_name(f"{key}.building")
    if building.exists():  # left by a killed process: whoever holds the lock is the only builder
        shutil.rmtree(building)
    building.mkdir()
    try:
        save_entry(building, key, *simulate(data))
        building.rename(entry)
    except BaseException:  # a signal or a full disk: no half-written entry stays
        shutil.rmtree(building, ignore_errors=True)
        raise
    return load_entry(entry, key)
