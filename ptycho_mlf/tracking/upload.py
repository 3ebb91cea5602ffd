"""`python -m ptycho_mlf.tracking.upload FOLDER...`: deliver what a run saved while its tracking store was away."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ptycho_mlf.config import InputError

from .offline_spool import upload


def main() -> int:
    """Upload the folders named on the command line; 2 when one could not be."""
    parser = argparse.ArgumentParser(prog="python -m ptycho_mlf.tracking.upload", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--tracking-uri", help="store; default: the one the run was started on")
    arguments = parser.parse_args()
    try:
        for folder in arguments.folders:
            print(f"run {upload(folder, arguments.tracking_uri)}: delivered")
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
