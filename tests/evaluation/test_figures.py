import io
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from ptycho_mlf.drawing import save_png
from ptycho_mlf.evaluation.evaluate import evaluate
from ptycho_mlf.evaluation.figures import comparison_figure, frc_figure, history_figure


@pytest.fixture
def runs(make_scan, noisy):
    scan = make_scan()
    dead = np.full(scan.amplitude_nCNN.shape, np.nan, np.complex64)
    return {
        "good": evaluate(noisy(scan), scan),
        "constant": evaluate(np.ones_like(dead), scan),
        "broken": evaluate(dead, scan),
    }


def panels(figure):
    return [axes for axes in figure.axes if axes.get_title()]


def trace(rows=12, **changes):
    steps = np.arange(rows)
    values = {
        "step": steps,
        "train_loss": 1.0 / (1 + steps),
        "learning_rate": np.full(rows, 1e-3),
        "grad_norm_preclip": np.full(rows, 2.0),
        "grad_norm_postclip": np.full(rows, 1.0),
        "epoch_end_step": [5, 11],
        "val_loss": [0.5, 0.3],
        "floor": 0.2,
    }
    return values | changes


def overlaps(figure):
    """Pairs of texts on the figure that share pixels."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    texts = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        texts += axes.get_legend().get_texts() if axes.get_legend() else []
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    texts = [text for text in texts if text.get_visible() and text.get_text()]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    assert len(boxes) > 20
    return [(a, b) for i, (a, x) in enumerate(boxes) for b, y in boxes[:i] if x.overlaps(y)]


@pytest.mark.parametrize("last", ["good", "constant", "broken"])
def test_comparison_shows_both_kinds_on_shared_scales(runs, last):
    figure = comparison_figure({"best": runs["good"], "last": runs[last]})
    shown = panels(figure)
    assert len(shown) == 10
    for row, kind in ((shown[:5], "amp"), (shown[5:], "phase")):
        images = [axes.images[0] for axes in row if axes.images]
        assert len(images) == (3 if last == "broken" else 5)
        truth = runs["good"].constant.images(kind)[1]
        np.testing.assert_array_equal(images[0].get_array(), truth)
        values = [image for image in images if image.get_cmap().name != "RdBu_r"]
        assert {image.get_clim() for image in values} == {(truth.min(), truth.max())}
        limits = {image.get_clim() for image in images if image not in values}
        assert len(limits) == 1
        low, high = limits.pop()
        assert low == -high < 0
        score = runs["good"].metrics[f"ssim_{kind}"]
        assert f"SSIM {score:.3f}" in row[1].get_title()
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert "amplitude error (object units)" in labels
    assert "phase, plane removed (rad)" in labels


def test_a_broken_prediction_says_so(runs):
    texts = [
        text.get_text()
        for axes in panels(comparison_figure({"best": runs["good"], "last": runs["broken"]}))
        for text in axes.texts
    ]
    assert texts == ["no image:\nnonfinite"] * 4
    comparison_figure({"best": runs["broken"], "last": runs["broken"]}).draw_without_rendering()


def test_no_texts_overlap(runs):
    assert not overlaps(comparison_figure({"best": runs["good"], "last": runs["broken"]}))
    assert not overlaps(frc_figure({"best": runs["good"], "last": runs["constant"]}))
    assert not overlaps(history_figure(**trace()))


def outside(figure):
    """What is drawn beyond the edges of the figure, inches."""
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return [edge for edge in (-box.x0, -box.y0, box.x1 - width, box.y1 - height) if edge > 0]


def test_everything_lies_within_the_figure(runs):
    # The longest numbers an axis writes: of small errors, of losses within a decade and across thirty.
    best = runs["good"]
    for pairs in ({"best": best, "last": best}, {"best": best, "last": runs["broken"]}, {"model": runs["constant"]}):
        assert not outside(comparison_figure(pairs))
        assert not outside(frc_figure(pairs))
    long, wide = np.linspace(0.001234, 0.001235, 12), np.logspace(-30, 30, 12)
    for loss in (long, wide, -long, np.full(12, np.nan)):
        assert not outside(history_figure(**trace(train_loss=loss, val_loss=loss[:2], grad_norm_preclip=loss)))


def test_real_object(make_scan, noisy):
    scan = make_scan(has_phase=False)
    result = evaluate(noisy(scan), scan)
    assert panels(comparison_figure({"best": result, "last": result}))[6].get_title().endswith("no scores: vacuous")
    legends = [
        axes.get_legend().get_texts()[0].get_text() for axes in frc_figure({"best": result, "last": result}).axes
    ]
    assert legends[2] == "best weights: n/a (vacuous)"


def test_frc_draws_the_curves_and_thresholds(runs):
    figure = frc_figure({"best": runs["good"], "last": runs["constant"]})
    curve = runs["good"].frc["amp"]
    lines = figure.axes[1].get_lines()
    np.testing.assert_array_equal(lines[0].get_xydata(), np.stack([curve.frequency, curve.correlation], axis=1))
    drawn = [tuple(line.get_ydata()) for line in lines]
    for name in ("0.5", "1/7", "half-bit"):
        assert tuple(curve.threshold(name)) in drawn
    frc_figure({"best": runs["broken"], "last": runs["broken"]}).draw_without_rendering()


def test_history_keeps_every_spike_of_a_long_trace():
    rows = 20_000
    loss = np.full(rows, 0.1)
    loss[[777, 12_345]] = 50, 1e-3
    loss[15_000:15_002] = np.nan, np.inf
    figure = history_figure(**trace(rows, train_loss=loss))
    line, lost = figure.axes[0].get_lines()[:2]
    assert len(line.get_xdata()) <= 3000
    points = dict(line.get_xydata())
    assert (points[777], points[12_345]) == (50, 1e-3)
    assert list(lost.get_xdata()) == [15_000, 15_001]
    assert figure.axes[0].get_yscale() == "log"


def test_history_without_clipping_or_floor_and_with_negative_losses():
    figure = history_figure(**trace(grad_norm_postclip=np.full(12, 2.0), floor=None, train_loss=np.full(12, -1.0)))
    assert figure.axes[0].get_yscale() == "linear"
    labels = [line.get_label() for axes in figure.axes for line in axes.get_lines()]
    assert "never clipped" in labels
    assert not any(label.startswith("constant object") for label in labels)
    assert "constant object (0.2)" in [line.get_label() for line in history_figure(**trace()).axes[0].get_lines()]


def test_history_of_a_run_that_died_at_once():
    nothing = np.full(12, np.nan)
    dead = trace(train_loss=nothing, grad_norm_preclip=nothing, grad_norm_postclip=nothing, val_loss=[np.nan, np.nan])
    history_figure(**dead).draw_without_rendering()
    history_figure(**trace(0, epoch_end_step=[], val_loss=[])).draw_without_rendering()


def test_saved_bytes_are_reproducible(runs, tmp_path):
    for name in ("a", "b"):
        save_png(frc_figure({"best": runs["good"], "last": runs["constant"]}), tmp_path / f"{name}.png", dpi=60)
    content = (tmp_path / "a.png").read_bytes()
    assert content == (tmp_path / "b.png").read_bytes()
    assert b"Software" not in content
    assert matplotlib.image.imread(io.BytesIO(content)).shape[:2] == (round(4.9 * 60), round(13.2 * 60))


def test_pyplot_is_never_loaded():
    code = "import sys, ptycho_mlf.evaluation.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_last_weights_alone_are_drawn_too(runs):
    panels_of_one = panels(comparison_figure({"last": runs["good"]}))
    assert len(panels_of_one) == 6
    assert panels_of_one[1].get_title().startswith("last weights")
    frc_figure({"last": runs["good"]}).draw_without_rendering()
