"""Write the report of a study."""

from __future__ import annotations

import click

from ptycho_mlf.runs.command import RunCommand


@click.command(cls=RunCommand, context_settings={"max_content_width": 120})
@click.option("--study", default="", help="Report on the newest study of this name.")
@click.option("--runs", default="", help="Or on any runs: ids, separated by commas.")
@click.option("--parent", default="", help="Or on the children of this run.")
@click.option("--output", default="", help="Folder; else the parent run's artifacts, without a parent ./report.")
def report(study: str, runs: str, parent: str, output: str) -> None:
    """Write report.html, one page that needs nothing else, and summary.md from what the runs left behind."""
    from ptycho_mlf.studies.report.write import ReportRequest, report

    for line in report(ReportRequest(study, runs, parent, output)):
        click.echo(line)


if __name__ == "__main__":
    report()
