"""The single declaration of every parameter: name, type, default, unit, range, help, and which choice consumes it."""

from .data import BUILT_IN_PROBES, GROUP_OFFSET, PROBE_SCALE, DataConfig
from .errors import ImpossibleGeometryError, InputError
from .execution import ExecutionConfig
from .model import U_SHAPED, ModelConfig
from .replication import ReplicationConfig
from .run import SECTIONS, RunConfig, parameters, probe_digest
from .telemetry import TelemetryConfig
from .training import CLIP_DEFAULTS, TrainingConfig

__all__ = [
    "BUILT_IN_PROBES",
    "CLIP_DEFAULTS",
    "GROUP_OFFSET",
    "PROBE_SCALE",
    "SECTIONS",
    "U_SHAPED",
    "DataConfig",
    "ExecutionConfig",
    "ImpossibleGeometryError",
    "InputError",
    "ModelConfig",
    "ReplicationConfig",
    "RunConfig",
    "TelemetryConfig",
    "TrainingConfig",
    "parameters",
    "probe_digest",
]
