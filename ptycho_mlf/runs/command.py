"""The command class of entry points that record runs."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from ptycho_mlf.config.cli import EntryCommand
from ptycho_mlf.tracking.signals import terminating

from .process_setup import prepare_process


class RunCommand(EntryCommand):
    """Refuses wrong input like any entry point, and leaves no run that `mlflow run` began without its reason."""

    def main(self, *arguments: Any, **extra: Any) -> NoReturn:
        """Run the command; SIGTERM and Ctrl-C end it in good order from its first moment on."""
        with terminating():
            prepare_process()
            super().main(*arguments, **extra)

    def refuse(self, message: str) -> NoReturn:
        """End such a run as FAILED with the message, then say it and exit with code 2."""
        if "MLFLOW_RUN_ID" in os.environ:
            from ptycho_mlf.tracking.run_record import fail_given_run

            fail_given_run(message)
        super().refuse(message)
