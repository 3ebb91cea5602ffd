"""The trained model as an MLflow pyfunc model: code as a file, weights as files, nothing pickled."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ptycho_mlf.quiet import quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

_REQUIREMENTS = ("numpy", "safetensors", "torch")
"""MLflow adds itself."""
_ONE_AT_A_TIME = threading.Lock()
"""MLflow executes the file of a model, which leaves the model in a variable of MLflow's, one for all threads."""


def model_arguments(
    code_path: Path,
    artifacts: Mapping[str, Path],
    channels: int,
    side: int,
    code_paths: Sequence[Path],
    input_example: NDArray[np.float32] | None,
) -> dict[str, Any]:
    """Arguments that MLflow's `save_model` and `Model.log` share.

    Requirements are always given: left to itself MLflow runs the model in another process for seconds to infer them.
    """
    # A local build such as torch 2.8.0+cpu has no counterpart in the package index.
    installed = [f"{name}=={version(name).partition('+')[0]}" for name in _REQUIREMENTS]
    return {
        "python_model": str(code_path),
        "artifacts": {name: str(path) for name, path in artifacts.items()},
        "signature": _signature(channels, side),
        "pip_requirements": installed,
        "code_paths": [str(path) for path in code_paths] or None,
        "input_example": input_example,
    }


def save_model(path: Path, arguments: Mapping[str, Any]) -> None:
    """Write the model to a folder."""
    with _ONE_AT_A_TIME, quiet():
        import mlflow.pyfunc

        mlflow.pyfunc.save_model(path, **arguments)


def log_model(
    client: MlflowClient,
    run_id: str,
    name: str,
    step: int,
    params: Mapping[str, str],
    arguments: Mapping[str, Any],
) -> str:
    """Log the model as an output of a run; its id in MLflow.

    The model is created first, since MLflow would put it into the experiment of the environment, not of the run.
    """
    run = client.get_run(run_id)
    model = client.create_logged_model(run.info.experiment_id, name, run_id, params=dict(params))
    with _ONE_AT_A_TIME, quiet():
        import mlflow.pyfunc
        from mlflow.models import Model

        Model.log(None, mlflow.pyfunc, run_id=run_id, name=name, model_id=model.model_id, step=step, **arguments)
    return model.model_id


def _signature(channels: int, side: int) -> ModelSignature:
    """Amplitude (n, C, N, N) in, object patches (n, C, N, N, 2) out: real and imaginary part, both float32.

    MLflow refuses a complex output when it predicts.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    shape, float32 = (-1, channels, side, side), np.dtype(np.float32)
    return ModelSignature(Schema([TensorSpec(float32, shape)]), Schema([TensorSpec(float32, (*shape, 2))]))
