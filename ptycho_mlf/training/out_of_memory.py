"""Allocation failures, on any device, told from other errors."""

from __future__ import annotations

import re

import torch

_ALLOCATION = re.compile(r"DefaultCPUAllocator|std::bad_alloc|ALLOC_FAILED|out of memory", re.IGNORECASE)
"""How torch words it: its own allocators, the C++ library, and CUDA's libraries, all as RuntimeError."""


def is_allocation_failure(error: BaseException) -> bool:
    """Whether an error says that memory is too small."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _ALLOCATION.search(str(error)) is not None
