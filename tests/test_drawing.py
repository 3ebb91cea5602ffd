"""PNG files of figures, beside what matplotlib itself writes."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np
import pytest

from ptycho_mlf.drawing import new_figure, png


def drawing():
    """Laid out by matplotlib, with all that has a place of its own: titles, labels, a colour bar, several panels."""
    figure = new_figure(5, 3)
    for axes in figure.subplots(1, 2, sharey=True):
        image = axes.imshow(np.arange(12.0).reshape(3, 4))
        axes.set_title("two\nlines")
        axes.set_xlabel("x (px)")
    figure.colorbar(image, ax=figure.axes, label="value")
    return figure


@pytest.mark.parametrize("dpi", [60, 150])
def test_the_pixels_are_those_of_matplotlib(dpi: int):
    expected = io.BytesIO()
    drawing().savefig(expected, dpi=dpi)
    content = png(drawing(), dpi)
    pixels = matplotlib.image.imread(io.BytesIO(content))
    assert pixels.shape == (3 * dpi, 5 * dpi, 3)
    np.testing.assert_array_equal(pixels, matplotlib.image.imread(io.BytesIO(expected.getvalue()))[..., :3])
    assert b"Software" not in content
    assert content == png(drawing(), dpi)
