import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import pytest
from mlflow import MlflowClient

from ptycho_mlf.tracking.signals import Relay, Terminated, hold, raise_lost, relaying, release, terminating
from ptycho_mlf.tracking.store import experiment

HOLDS_A_RUN = """
import select
from ptycho_mlf.tracking.run_record import RunRecord
with RunRecord.open(name="victim", tags={"fingerprint": "f"}) as record:
    record.log_metrics({"loss": 1.0}, step=0)
    print(record.run_id, flush=True)
    while True:
        select.select([], [], [], 0.01)
"""
"""Waits in one call: a signal in the midst of threading's own code can leave a lock undone, which is another error."""


def send(signum: int) -> None:
    os.kill(os.getpid(), signum)


def test_real_processes_end_killed(store: Path, python: Callable[..., Popen[str]]):
    experiment()
    plans = {
        "SIGTERM": [signal.SIGTERM],
        "SIGINT": [signal.SIGINT],
        "impatient": [signal.SIGINT, signal.SIGTERM] * 20,
    }
    children = {name: python(HOLDS_A_RUN) for name in plans}
    runs = {name: child.stdout.readline().strip() for name, child in children.items()}
    for name, signals in plans.items():
        for signum in signals:
            children[name].send_signal(signum)
            threading.Event().wait(0.005)
    errors = {name: child.communicate(timeout=600)[1] for name, child in children.items()}
    assert (children["SIGTERM"].returncode, children["SIGINT"].returncode) == (143, 130), errors
    assert (errors["SIGTERM"], errors["SIGINT"]) == ("", "")
    for name, run_id in runs.items():
        run = MlflowClient().get_run(run_id)
        reason = "SIGTERM" if name == "SIGTERM" else "SIGINT"
        assert (run.info.status, run.data.tags["failure"]) == ("KILLED", reason)
        assert run.data.metrics == {"loss": 1.0}


def test_only_the_first_signal_raises(capsys: pytest.CaptureFixture[str]):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    cleaned_up = []

    def work() -> None:
        with terminating(), terminating():
            try:
                send(signal.SIGTERM)
            finally:
                send(signal.SIGTERM)
                send(signal.SIGINT)
                cleaned_up.append(True)

    with pytest.raises(Terminated) as caught:
        work()
    assert cleaned_up
    assert caught.value.signal is signal.SIGTERM
    assert caught.value.code == 143
    assert "already ending" in capsys.readouterr().err
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_held_signal_raises_after_the_hold():
    steps: list[str] = []

    def work() -> None:
        with terminating():
            with hold():
                with hold():
                    send(signal.SIGTERM)
                steps.append("held")
            steps.append("not reached")

    with pytest.raises(Terminated):
        work()
    assert steps == ["held"]


def test_contexts_can_follow_each_other():
    for _ in range(2):
        with pytest.raises(Terminated), terminating():
            send(signal.SIGINT)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with terminating():
            send(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_leave_the_handlers_alone():
    seen: list[object] = []

    def run() -> None:
        with terminating():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_lost_in_a_finalizer_is_raised_at_the_next_safe_place_or_signal():
    class Finalized:
        def __del__(self) -> None:
            send(signal.SIGTERM)

    def work(again: Callable[[], object]) -> None:
        with terminating():
            thing = Finalized()
            del thing  # Python drops the exception here.
            again()

    for again in (raise_lost, lambda: send(signal.SIGINT)):
        with pytest.raises(Terminated):
            work(again)


def test_a_release_lets_through_what_the_hold_around_it_keeps():
    steps: list[str] = []

    def work(before: bool) -> None:
        with terminating(), hold():
            if before:
                send(signal.SIGTERM)
            steps.append("held")
            with release():
                if not before:
                    send(signal.SIGTERM)
                raise AssertionError("not reached")

    def hold_again() -> None:
        with terminating(), hold():
            with release():
                pass
            send(signal.SIGTERM)
            steps.append("held again")

    for before in (True, False):
        with pytest.raises(Terminated):
            work(before)
    with pytest.raises(Terminated):
        hold_again()
    assert steps == ["held", "held", "held again"]


def test_a_relay_brings_a_signal_to_threads_at_their_next_safe_place_and_in_the_end_to_the_main_one(
    capsys: pytest.CaptureFixture[str],
):
    places: list[str] = []

    def at_hold_end() -> None:
        with hold():
            with hold():
                raise_lost()
            places.append("held")
        places.append("not reached")

    def at_release() -> None:
        with hold(), release():
            places.append("not reached")

    def at_a_call() -> None:
        try:
            raise_lost()
        except Terminated:
            raise_lost()  # While it ends it is told nothing more.
            with hold():
                places.append("ends")
            raise

    def told(place: Callable[[], None], relay: Relay) -> signal.Signals:
        with pytest.raises(Terminated) as caught, relay.heard():
            place()
        with hold():
            raise_lost()  # Hears nothing any more.
        return caught.value.signal

    def nothing(relay: Relay) -> None:
        with relay.heard(), hold():
            raise_lost()

    def work() -> None:
        with terminating(), relaying() as relay, ThreadPoolExecutor(1) as pool:
            pool.submit(nothing, relay).result()
            for signum in (signal.SIGTERM, signal.SIGINT):
                signal.raise_signal(signum)  # In this thread, whatever others there are.
            for place in (at_hold_end, at_release, at_a_call):
                assert pool.submit(told, place, relay).result() is signal.SIGTERM
            places.append("the main thread ends")

    def once_more() -> None:
        with terminating():
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("not reached: nothing is relayed any more")

    with pytest.raises(Terminated) as caught:
        work()
    assert caught.value.signal is signal.SIGTERM
    assert places == ["held", "ends", "the main thread ends"]
    assert "already ending" in capsys.readouterr().err
    with pytest.raises(Terminated):
        once_more()


def test_the_holds_of_a_thread_hold_nothing_in_another():
    def hold_there() -> None:
        with hold():
            holding.set()
            left.wait(60)

    def work() -> None:
        with terminating():
            thread.start()
            holding.wait(60)
            signal.raise_signal(signal.SIGTERM)

    holding, left, thread = threading.Event(), threading.Event(), threading.Thread(target=hold_there)
    with pytest.raises(Terminated):
        work()
    left.set()
    thread.join()
