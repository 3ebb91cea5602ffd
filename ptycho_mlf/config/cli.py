"""Click options made from the declared parameters, and the command class every entry point uses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click
from pydantic.fields import FieldInfo

from .describe import default_text, details, type_text
from .errors import InputError
from .knob import trait
from .run import parameters
from .study import ENTRIES, study_parameters

HEADINGS = {
    "study": "Study",
    "data": "Data",
    "model": "Model",
    "training": "Training",
    "telemetry": "Telemetry",
    "replication": "Replication of the earlier study's confounds",
    "execution": "Execution (not part of the fingerprint)",
}


class EntryCommand(click.Command):
    """A click command whose input errors are one line on stderr and exit code 2."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run the command and exit."""
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.Abort:
            click.echo("interrupted", err=True)
            sys.exit(130)
        except click.UsageError as error:
            self.refuse(error.format_message())
        except InputError as error:
            self.refuse(str(error))
        sys.exit(code if isinstance(code, int) else 0)

    def refuse(self, message: str) -> NoReturn:
        """Say what is wrong in one line and exit with code 2."""
        click.echo("error: " + " ".join(message.split()), err=True)
        sys.exit(2)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options under the heading of their section."""
        section_of = {name: section for section, name, _ in parameters()}
        section_of |= {name: "study" for entry in ENTRIES for _, name, _, _ in study_parameters(entry)}
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                heading = HEADINGS.get(section_of.get(param.name or "", ""), "Options")
                groups.setdefault(heading, []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for every declared parameter; the command receives only those given, as text."""
    for _, name, field in reversed(list(parameters())):
        _option(name, field, field.default)(command)
    return command


def execution_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that decide how runs are executed, not what they compute."""
    for _, name, field in reversed(list(parameters())):
        if trait(field, "execution_only"):
            _option(name, field, field.default)(command)
    return command


def study_options(entry: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of a study's entry point, with its defaults."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for _, name, field, default in reversed(list(study_parameters(entry))):
            _option(name, field, default)(command)
        return command

    return decorate


def option(name: str, help: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`click.option` in both spellings, with dashes and with underscores."""
    spellings = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
    return click.option(*spellings, name, help=help, **settings)


def _option(name: str, field: FieldInfo, default: object) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    notes = [f"default: {default_text(default) or 'empty'}", *details(field)]
    text = f"{field.description} [{'; '.join(notes)}]"
    return option(name, text, metavar=type_text(field.rebuild_annotation()), default=None)


def given(values: dict[str, Any]) -> dict[str, str]:
    """The options that were given on the command line."""
    return {name: value for name, value in values.items() if value is not None}
