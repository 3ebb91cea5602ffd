"""The logged model: MLflow executes this file when it loads one. Amplitude in, object out, weights from safetensors.

Input float32 (n, C, N, N): diffraction amplitude X in the normalised units of the training data.
Output float32 (n, C, N, N, 2): real and imaginary part of the object patch in normalised units.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from safetensors.torch import load_file

from ptycho_mlf.config import RunConfig
from ptycho_mlf.generators import build_generator

_BATCH = 64


class ObjectFromPattern(PythonModel):
    """A trained generator."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the generator from its configuration and fill in the weights."""
        settings = json.loads(Path(context.artifacts["config"]).read_text())["parameters"]
        config = RunConfig.from_flat(settings)
        self.generator = build_generator(config.model, config.data.N, config.data.channels, seed=0).eval()
        self.generator.load_state_dict(load_file(context.artifacts["weights"]))

    @torch.inference_mode()
    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,  # Any narrower annotation MLflow would take for a schema of its own.
        params: dict[str, Any] | None = None,
    ) -> Any:
        """Patterns to objects."""
        amplitude = torch.from_numpy(np.ascontiguousarray(model_input, np.float32))
        parts = [torch.view_as_real(self.generator(part)) for part in amplitude.split(_BATCH)]
        return torch.cat(parts).numpy()


mlflow.models.set_model(ObjectFromPattern())
