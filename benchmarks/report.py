"""How long the report of a study of 500 runs takes, and how large it is: `python benchmarks/report.py [runs]`.

The runs are written into a store of their own, with the numbers of parameters and metrics and the artifacts of real
ones; nothing is trained.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from ptycho_mlf.config import RunConfig
from ptycho_mlf.studies.report.write import ReportRequest, report
from ptycho_mlf.telemetry.trace import COLUMNS
from ptycho_mlf.tracking.parameters import as_text
from ptycho_mlf.tracking.run_record import RunRecord
from ptycho_mlf.tracking.store import connect

ARMS, STEPS, EPOCHS, SIDE = 10, 2520, 20, 250


def write_run(client: MlflowClient, parent: RunRecord, number: int, noise: np.random.Generator) -> None:
    crashed = number % 5 == 0
    run = client.create_run(parent.experiment_id, run_name=f"run-{number}")
    flat = RunConfig().flat() | {"seed": number, "learning_rate": 1e-3 * (1 + number % ARMS)}
    names = [f"test/{weights}/score_{k}" for weights in ("best", "last") for k in range(50)]
    names += [f"test/{weights}/ssim_{kind}" for weights in ("best", "last") for kind in ("amp", "phase")]
    names += [f"val/{kind}_{weights}" for kind in ("loss", "skill") for weights in ("best", "last")]
    values = {name: float(noise.random()) for name in names} | {"floor/best": 0.2, "grad_norm/run_max": 9.0}
    tags = {
        "mlflow.parentRunId": parent.run_id,
        "fingerprint": "f",
        "arm": f"arm/{number % ARMS}",
        "seed": str(number // ARMS),
        "study": "benchmark",
        "dataset_hash": "d",
        "verdict": "diverged" if crashed else "healthy",
        "verdict.crash": str(crashed).lower(),
    } | ({"verdict.onset_step": str(STEPS // 2)} if crashed else {})
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(name, value, 0, STEPS) for name, value in values.items()],
        params=[Param(name, as_text(value)) for name, value in flat.items()],
        tags=[RunTag(name, text) for name, text in tags.items()],
    )
    client.set_terminated(run.info.run_id)
    folder = Path(run.info.artifact_uri)
    (folder / "reconstruction").mkdir(parents=True)
    columns = {name: noise.lognormal(0, 0.3, STEPS) for name in COLUMNS} | {"step": np.arange(STEPS)}
    pq.write_table(pa.table(columns), folder / "trace.parquet")
    epochs = [{"step": (k + 1) * STEPS // EPOCHS, "val_loss": float(noise.random())} for k in range(EPOCHS)]
    (folder / "history.json").write_text(json.dumps({"initial": {"loss": 0.3}, "epochs": epochs}))
    for weights in ("best", "last") if number < 2 * ARMS else ():
        images = {name: noise.random((SIDE, SIDE)) for name in ("amp", "phase", "truth_amp", "truth_phase")}
        np.savez_compressed(folder / "reconstruction" / f"{weights}.npz", **images)


def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        connect()
        noise, client = np.random.default_rng(0), MlflowClient()
        with RunRecord.open(name="benchmark", tags={"study": "benchmark", "study.kind": "arms"}) as parent:
            for number in range(runs):
                write_run(client, parent, number, noise)
        for _ in range(2):
            wall, own = time.perf_counter(), time.process_time()
            *_, place = report(ReportRequest(study="benchmark", output="out"))
            wall, own = time.perf_counter() - wall, time.process_time() - own
            size = Path(place).stat().st_size / 1e6
            print(f"{runs} runs of {STEPS} steps: {wall:.1f} s ({own:.1f} s of CPU), {size:.1f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
