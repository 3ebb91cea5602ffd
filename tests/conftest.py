"""The smallest real run: everything at its true form, in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ptycho_mlf.config import RunConfig

TINY = {
    "N": 16,
    "size": 64,
    "outer_offset_train": 12,
    "architecture": "hybrid",
    "fno_blocks": 2,
    "width": 4,
    "modes": 4,
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 3e-3,
    "accelerator": "cpu",
}
"""81 train windows, of which 9 validate, so 5 steps an epoch with a last batch of 8; 25 test patterns."""


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Test processes share the cores; more threads only get into each other's way."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def dataset_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture
def tiny(dataset_cache: Path) -> Callable[..., RunConfig]:
    """A tiny configuration with some parameters changed."""

    def build(**changes: Any) -> RunConfig:
        return RunConfig.from_flat({**TINY, "cache_dir": str(dataset_cache), **changes})

    return build
