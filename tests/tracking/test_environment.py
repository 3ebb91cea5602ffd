import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

import ptycho_mlf

TAGS = (
    "import json; from ptycho_mlf.tracking.environment import environment_tags; print(json.dumps(environment_tags()))"
)


@pytest.fixture
def tags_at(python: Callable[..., Popen[str]]) -> Callable[[Path], dict[str, str]]:
    """Environment tags of a process that uses the copy of the package in a folder."""

    def ask(where: Path) -> dict[str, str]:
        out, errors = python(TAGS, PYTHONPATH=str(where)).communicate(timeout=600)
        assert not errors
        return json.loads(out)

    return ask


def test_commit_and_dirty_flag_of_the_checkout_only(folder: Path, tags_at: Callable[[Path], dict[str, str]]):
    checkout = folder / "checkout"
    shutil.copytree(Path(ptycho_mlf.__file__).parent, checkout / "ptycho_mlf")

    def git(*words: str) -> str:
        author = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = subprocess.run(["git", *author, *words], cwd=checkout, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", "ptycho_mlf/__init__.py")
    git("commit", "-q", "-m", "first")
    commit = git("rev-parse", "HEAD")
    (checkout / "notes.txt").write_text("untracked")
    tags = tags_at(checkout)
    assert (tags["git_commit"], tags["git_dirty"]) == (commit, "false")
    (checkout / "ptycho_mlf" / "__init__.py").write_text("changed = True")
    assert tags_at(checkout)["git_dirty"] == "true"

    installed = checkout / "venv" / "site-packages"
    shutil.copytree(checkout / "ptycho_mlf", installed / "ptycho_mlf")
    assert "git_commit" not in tags_at(installed), "an installed copy is not the checkout it lies in"


def test_process_and_versions(python: Callable[..., Popen[str]]):
    before = time.time()
    child = python(TAGS)
    out, _ = child.communicate(timeout=600)
    tags = json.loads(out)
    assert (tags["host"], tags["pid"]) == (socket.gethostname(), str(child.pid))
    assert before - 2 < float(tags["pid_created"]) < time.time() + 2, "the clock ticks and boots in whole seconds"
    assert tags["version.ptycho_mlf"] == ptycho_mlf.__version__
    assert {"version.python", "version.torch", "version.lightning", "version.mlflow"} <= tags.keys()
