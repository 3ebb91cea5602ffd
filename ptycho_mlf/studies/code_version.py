"""Which code this is: results of one study come from one version of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import ptycho_mlf

_PACKAGE = Path(ptycho_mlf.__file__).parent


def code_version() -> str:
    """Version and a digest of the package's source files, also where there is no git: `1.0.0+0123456789ab`."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(_PACKAGE)).encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{ptycho_mlf.__version__}+{digest.hexdigest()[:12]}"
