"""Stage A at small size: three arms that all learn in about a minute each on two CPU cores."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptycho_mlf.config import RunConfig
from ptycho_mlf.tracking.run_record import RunRecord
from ptycho_mlf.tracking.store import connect

from .comparison import compare, print_comparison, table_console
from .stage_a import run_stage_a

SMALL: Mapping[str, Any] = {
    "N": 32,
    "train_patterns": 1600,
    "fno_blocks": 3,
    "width": 16,
    "modes": 8,
    "epochs": 5,
}
"""The small tier: another object scale and rates than at N=64, the same physics and code."""

ARMS: Mapping[str, Mapping[str, Any]] = {
    "quickstart/hybrid": {
        "architecture": "hybrid",
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "clip_algorithm": "norm",
        "clip_value": 1.0,
    },
    "quickstart/stable_sgd": {"architecture": "stable_hybrid", "optimizer": "sgd", "learning_rate": 3e-2},
    "quickstart/stable_adamw": {
        "architecture": "stable_hybrid",
        "optimizer": "adamw",
        "learning_rate": 2e-3,
        "weight_decay": 0.01,
    },
}
"""Settings that learn at this size."""


def run_quickstart(overrides: Mapping[str, str]) -> None:
    """Train and compare the arms as children of one run.

    Args:
        overrides: any parameter, for all arms.

    Raises:
        InputError: an override that does not fit an arm, or an unusable store.
    """
    configs = {arm: RunConfig.from_flat({**SMALL, **settings, **overrides}) for arm, settings in ARMS.items()}
    uri = connect()
    console = table_console()
    with RunRecord.open(name="quickstart", description="Stage A at small size: three arms that all learn.") as parent:
        for number, (arm, config) in enumerate(configs.items(), start=1):
            console.print(f"[{number}/{len(configs)}] {arm}", markup=False)
            run_stage_a(config, arm=arm, parent_run_id=parent.run_id)
        console.print()
        print_comparison(compare(parent=parent.run_id), console)
    console.print(
        "\nLook at the runs in the browser (in its sidebar click “Model training”):\n"
        # The whole path: it works from any folder, in an activated environment or not.
        f"  {Path(sys.executable).with_name('mlflow')} ui --backend-store-uri {uri}",
        soft_wrap=True,
    )
