"""Reconstructions side by side."""

from __future__ import annotations

from html import escape

from .data import ArmPictures, Picture, StudyData
from .parts import key

_CAPTION = (
    "Test object: amplitude (upper row) and phase (lower row) of the truth and of the best and the worst seed by the "
    "validation skill of the last weights. Colours span the range of the truth. Click to enlarge."
)


def galleries(data: StudyData) -> list[str]:
    """HTML of the pictures of every arm; empty without any."""
    if not data.pictures:
        return []
    return [f'<p class="caption">{_CAPTION}</p>', *(_gallery(data, pictures) for pictures in data.pictures)]


def _gallery(data: StudyData, pictures: ArmPictures) -> str:
    index = data.arms.index(pictures.arm)
    rows: list[str] = []
    for kind, truth in (("amp", pictures.truth_amp), ("phase", pictures.truth_phase)):
        name = "amplitude" if kind == "amp" else "phase"
        thumbs = [_thumb(truth, f"{pictures.arm}, true {name}", f"<b>truth</b>, {name}")]
        for one in pictures.pictures:
            description = f"{pictures.arm}, {one.role} {one.seed}, {one.weights} weights, {name}"
            thumbs.append(_thumb(one.amp if kind == "amp" else one.phase, description, _text(one, kind)))
        rows.append(f'<div class="gallery">{"".join(thumbs)}</div>')
    return f'<div data-arm="{index}"><h3>{key(index)} {escape(pictures.arm)}</h3>{"".join(rows)}</div>'


def _thumb(uri: str | None, description: str, text: str) -> str:
    if uri is None:
        return f'<div class="thumb"><div class="none">no image</div><span>{text}</span></div>'
    image = f'<img src="{uri}" alt="{escape(description)}" loading="lazy">'
    return f'<button type="button" class="thumb">{image}<span>{text}</span></button>'


def _text(picture: Picture, kind: str) -> str:
    caption = f"<br>{escape(picture.caption)}" if kind == "amp" and picture.caption else ""
    return f"<b>{escape(picture.role)} ({escape(picture.seed)})</b>, {escape(picture.weights)} weights{caption}"
