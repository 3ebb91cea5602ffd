"""The report: its schema, what it finds, its page and figure."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from ptycho_mlf.telemetry.activation_heatmap import heatmap_figure
from ptycho_mlf.telemetry.activation_page import report_page, write_page
from ptycho_mlf.telemetry.activation_report import (
    Snapshot,
    build_report,
    read_reference,
    reference_of,
    write_report,
)
from ptycho_mlf.telemetry.activation_statistics import LayerStatistics

HEALTHY = LayerStatistics(
    "a", "Conv2d", (4, 8, 8), 0.1, 1.0, 0.6, 1.9, 2.5, 1.1, 0.0, 0.01, 0.5, None, None, nonfinite=0.0
)


def layers(**changed: dict[str, Any]) -> list[LayerStatistics]:
    """Layers a to d, some of them changed."""
    return [replace(HEALTHY, name=name, **changed.get(name, {})) for name in "abcd"]


def report(*snapshots: list[LayerStatistics], **source: Any) -> dict[str, Any]:
    moments = [Snapshot(epoch, 10 * epoch, found) for epoch, found in enumerate(snapshots)]
    reference = reference_of("before training", snapshots[0])
    return build_report(moments, source={"architecture": "toy", **source}, samples=3, reference=reference)


def check(document: dict[str, Any]) -> None:
    schema = json.loads(files("ptycho_mlf.telemetry").joinpath("schemas/activation_report.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(json.dumps(document, allow_nan=False)), schema)


BROKEN = {
    "dead": {"dead_channels": 1.0},
    "saturated_head": {"head_saturation": 0.999},
    "grown": {"rms": 1.1 * 150},
    "shrunk": {"rms": 1.1 / 150},
    "nonfinite": {"rms": math.nan, "p50": math.inf, "mean": math.nan, "nonfinite": 0.25},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_planted_is_found_in_its_layer_alone(kind: str):
    document = report(layers(), layers(c=BROKEN[kind]))
    check(document)
    assert [(finding["layer"], finding["kind"]) for finding in document["findings"]] == [("c", kind)]
    assert document["findings"][0]["text"].startswith("c: ")
    assert document["findings"][0]["text"] in report_page(document)


def test_the_schema_refuses_what_is_not_declared():
    document = report(layers())
    check(document)
    for broken in (
        document | {"version": 2},
        document | {"extra": 1},
        document | {"snapshots": []},
        document | {"samples": 0},
    ):
        with pytest.raises(jsonschema.ValidationError):
            check(broken)


def test_the_ratio_is_to_the_reference():
    document = report(layers(), layers(b={"rms": 2.2}))
    assert [layer["rms_ratio"] for layer in document["snapshots"][1]["layers"]] == pytest.approx([1, 2, 1, 1])
    without = build_report([Snapshot(None, None, layers())], source={}, samples=1, reference=None)
    check(without)
    assert {layer["rms_ratio"] for layer in without["snapshots"][0]["layers"]} == {None}
    zero = report(layers(a={"rms": 0.0}), layers())
    assert zero["snapshots"][1]["layers"][0]["rms_ratio"] is None


def test_a_written_report_is_a_reference(tmp_path: Path):
    write_report(report(layers(), layers(b={"rms": 5.0})), tmp_path / "r.json")
    reference = read_reference(tmp_path / "r.json")
    assert reference.rms == {"a": 1.1, "b": 5.0, "c": 1.1, "d": 1.1}
    for text in ("{}", "[1]", "no", '{"schema": "ptycho_mlf/activation_report", "version": 1}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(ValueError, match="no activation report"):
            read_reference(tmp_path / "other.json")
    with pytest.raises(ValueError, match="no activation report"):
        read_reference(tmp_path / "missing.json")


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("snapshots", [1, 3])
def test_the_page_is_self_contained_and_escaped(snapshots: int, tmp_path: Path):
    hostile = "<script src='http://x.example/a.js'>alert(1)</script>"
    found = [replace(layer, kind=hostile, name=f"{layer.name}<b>&") for layer in layers(b={"dead_channels": 1.0})]
    document = report(*[found] * snapshots, checkpoint=hostile)
    write_page(document, tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["p.html"]
    page = Page()
    page.feed(text)
    assert not {"script", "link", "iframe", "b", "object"} & {tag for tag, _ in page.tags}
    addresses = [v for _, attrs in page.tags for name, v in attrs.items() if name in ("src", "href")]
    assert [address[:26] for address in addresses if address] == ["data:image/svg+xml;base64,"]
    assert "url(" not in text
    assert "@import" not in text
    drawn = ElementTree.fromstring(base64.b64decode(text.partition("base64,")[2].partition('"')[0]))
    links = [value for node in drawn.iter() for name, value in node.attrib.items() if name.endswith("href")]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert report_page(document) == text  # The same bytes again.


def test_the_heatmap_shows_every_layer_and_epoch():
    figure = heatmap_figure(report(layers(), layers(b={"dead_channels": 1.0}), layers(), layers()))
    panels = {axes.get_title(): axes for axes in figure.axes if axes.images}
    dead = panels["dead\nchannels"].images[0].get_array()
    assert dead.tolist() == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert [label.get_text() for label in panels["RMS"].get_yticklabels()] == list("abcd")
    assert [label.get_text() for label in panels["RMS"].get_xticklabels()] == ["0", "1", "2", "3"]
    assert "spectral /\nlocal RMS" not in panels  # No layer has it.


def test_one_snapshot_is_drawn_with_its_numbers():
    figure = heatmap_figure(report(layers(b={"rms": 0.0, "mean": -3e-5})))
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"1.1", "0", "-3e-5", "1.9"} <= texts
