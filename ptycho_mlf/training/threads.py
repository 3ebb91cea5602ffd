"""The number of CPU threads of one run."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def cpu_threads(count: int) -> Generator[None]:
    """Use so many threads within this context; 0 leaves them as they are. The setting belongs to the process."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
