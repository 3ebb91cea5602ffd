"""What an entry point settles before it works, seen by glibc's own bookkeeping in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ptycho_mlf.runs.process_setup import keep_freed_memory

ROOT = Path(__file__).parents[2]
COMMAND = """
import ctypes, os, sys
import click
from ptycho_mlf.runs.command import RunCommand

NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in NAMES.split()]

@click.command(cls=RunCommand)
def command():
    libc = ctypes.CDLL(None)
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    libc.mallinfo2.restype = Info
    before = libc.mallinfo2()
    block = libc.malloc(512 << 20)  # Of what is free on top of the heap glibc keeps less.
    mapped = libc.mallinfo2().hblkhd - before.hblkhd
    libc.free(block)
    waits = os.environ["OMP_WAIT_POLICY"], os.environ.get("GOMP_SPINCOUNT", "-")
    print(mapped >> 20, libc.mallinfo2().fordblks >> 29, *waits, "torch" in sys.modules)

command()
"""
"""Prints the MiB mapped for a block of 512 MiB, whether as much is kept when it is freed, and how OpenMP waits."""


@pytest.mark.parametrize(
    ("own", "seen"),
    [
        ({}, "0 kept PASSIVE 10000 False"),
        ({"MALLOC_MMAP_MAX_": "65536", "OMP_WAIT_POLICY": "ACTIVE"}, "512 returned ACTIVE - False"),
        ({"MALLOC_TOP_PAD_": "4096", "GOMP_SPINCOUNT": "7"}, "512 returned PASSIVE 7 False"),
        ({"GLIBC_TUNABLES": "glibc.malloc.top_pad=4096"}, "512 returned PASSIVE 10000 False"),
    ],
)
def test_freed_memory_is_kept_and_threads_sleep_unless_the_user_says_otherwise(own: dict[str, str], seen: str) -> None:
    settled = ("MALLOC_", "GLIBC_", "OMP_WAIT", "GOMP_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(settled)}
    variables = {**plain, "PYTHONPATH": str(ROOT), **own}
    done = subprocess.run([sys.executable, "-c", COMMAND], env=variables, capture_output=True, text=True, check=True)
    mapped, kept, *rest = done.stdout.split()
    assert " ".join([mapped, "kept" if int(kept) else "returned", *rest]) == seen


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
