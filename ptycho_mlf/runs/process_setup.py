"""What a process that trains asks of its machine: memory that is freed is kept, and threads that wait sleep.

The user's own variables win: where one of glibc's MALLOC_ variables or tunables is set the allocator is left alone, and
an OMP_WAIT_POLICY or GOMP_SPINCOUNT that is set stays.
"""

from __future__ import annotations

import ctypes
import os
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Names of parameters in glibc's <malloc.h>."""
_NEVER, _PAD = -1, 256 << 20
_SPINS = "10000"
"""How often GNU's OpenMP looks before it lets a thread sleep. Small networks go from one parallel loop to the next in
microseconds, and take a third longer if each of them has to wake its threads."""


def prepare_process() -> None:
    """Settle memory and threads of this process. OpenMP reads its part when torch is imported, so call this before."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Have glibc keep what is freed until the process ends, and take memory in large pieces.

    Left to itself it hands large blocks back to the kernel, which gives them again, page by page, at the next step.
    What a process needs at most stays the same.

    Returns:
        Whether it was asked to: it is not where the user has settled the matter, nor with another C library.
    """
    if any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    for name, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _PAD)):
        mallopt(name, value)
    return True
