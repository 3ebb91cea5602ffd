"""The sweep as a command: light help, ranges on the command line, one line for what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

ROOT = Path(__file__).parents[2]
CALL = "import sys; sys.argv = ['sweep', *{words}]\nfrom entrypoints.sweep import sweep\nsweep()"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--learning-rate", "log:0..1"], "error: learning_rate=0: input should be greater than 0"),
        (["--objective", "ssim"], "error: objective=ssim: input should be 'skill' or 'val_loss'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    python: Callable[..., Popen[str]], folder: Path, words: list[str], message: str
):
    child = python(CALL.format(words=words), PYTHONPATH=str(ROOT))
    out, errors = child.communicate()
    assert (child.returncode, out) == (2, "")
    assert errors.startswith(message)
    assert errors.count("\n") == 1
    assert list(folder.iterdir()) == []


def test_help_is_light_and_tells_of_ranges(python: Callable[..., Popen[str]]):
    code = CALL.format(words=["--help"]).replace("sweep()", "try: sweep()\nfinally: print({heavy})", 1)
    heavy = "{'torch', 'lightning', 'mlflow', 'optuna', 'plotly'} & sys.modules.keys()"
    out, errors = python(code.replace("{heavy}", heavy), PYTHONPATH=str(ROOT)).communicate()
    assert out.strip().endswith("set()"), errors
    for word in ("log:1e-5..1e-1", "--objective skill|val_loss", "--max-trials"):
        assert word in out
