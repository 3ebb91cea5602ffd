"""A data set as MLflow's dataset input: what it is and where from, never the data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_DIGEST_LENGTH = 36
"""Longest digest MLflow stores, characters."""


def dataset_fields(
    name: str, digest: str, source: str | None, shape: Sequence[int], profile: Mapping[str, Any]
) -> dict[str, str]:
    """Fields of an `mlflow.entities.Dataset`.

    Args:
        name: shown in the UI.
        digest: hash of the content; MLflow keeps its first 36 characters.
        source: path or URL; None for data that the run's own code simulates.
        shape: shape of the float32 diffraction amplitudes.
        profile: numbers worth showing, JSON values.
    """
    import numpy as np
    from mlflow.data.schema import TensorDatasetSchema
    from mlflow.types import Schema, TensorSpec

    if source is None:
        kind, where = "code", {"tags": {"mlflow.source.type": "LOCAL", "mlflow.source.name": "ptycho_mlf.simulation"}}
    elif source.startswith(("http://", "https://")):
        kind, where = "http", {"url": source}
    else:
        kind, where = "local", {"uri": source}
    features = Schema([TensorSpec(np.dtype(np.float32), (-1, *shape[1:]), name="amplitude")])
    return {
        "name": name,
        "digest": digest[:_DIGEST_LENGTH],
        "source_type": kind,
        "source": json.dumps(where),
        "schema": json.dumps(TensorDatasetSchema(features).to_dict()),
        "profile": json.dumps({"shape": list(shape), **profile}),
    }
