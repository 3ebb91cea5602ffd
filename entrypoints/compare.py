"""Compare runs of the tracking store in the terminal."""

from __future__ import annotations

import json

import click

from ptycho_mlf.runs.command import RunCommand


@click.command(cls=RunCommand, context_settings={"max_content_width": 120})
@click.option("--experiment", default="", help="Experiment to look in. [default: ptycho_mlf]")
@click.option("--runs", default="", help="Compare only these runs: ids, separated by commas.")
@click.option("--parent", default="", help="Compare only the children of this run.")
@click.option("--json", "as_json", type=bool, default=False, is_flag=False, flag_value=True, help="Print JSON.")
def compare(experiment: str, runs: str, parent: str, as_json: bool) -> None:
    """Print a table of runs: verdict, validation, skill over the best constant, scores on the test object.

    Runs are ranked by their best validation skill; runs that saw different data are not ranked.
    """
    from ptycho_mlf.runs.comparison import compare, print_comparison, table_console
    from ptycho_mlf.tracking.store import connect

    connect()
    run_ids = [run_id.strip() for run_id in runs.split(",")] if runs else None
    found = compare(experiment or None, run_ids, parent or None)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=1, allow_nan=False))
    else:
        print_comparison(found, table_console())


if __name__ == "__main__":
    compare()
