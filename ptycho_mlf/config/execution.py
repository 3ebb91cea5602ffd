"""Parameters that decide how a run is executed, not what it computes."""

from __future__ import annotations

from typing import Literal

from .knob import Section, knob


class ExecutionConfig(Section):
    """Where and with what a run is executed. Stays out of the fingerprint."""

    accelerator: Literal["auto", "cpu", "cuda"] = knob(
        "auto", "Device; auto = CUDA where there is one.", execution_only=True
    )
    threads: int = knob(0, "CPU threads; 0 = as torch decides.", ge=0, le=1024, execution_only=True)
    cache_dir: str = knob("", "Folder of the dataset cache; empty = the user's cache folder.", execution_only=True)
