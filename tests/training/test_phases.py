import collections
import time

import pytest
import torch

from layerdropback.training.phases import PHASES, PhaseTimer

CPU = torch.device("cpu")


def test_phases_are_summed_over_parts_and_steps_without_the_pauses(clock):
    timer = PhaseTimer(CPU)
    for _ in range(2):
        timer.start()
        clock(1)
        timer.mark("data")
        for forward, backward in ((2, 4), (3, 5)):
            clock(forward)
            timer.mark("forward")
            clock(backward)
            timer.mark("backward")
        clock(0.5)
        timer.mark("optimizer")
        clock(100)  # a checkpoint, say
    expected = {"data": 2.0, "forward": 10.0, "backward": 18.0, "optimizer": 1.0}
    assert timer.totals() == timer.totals() == expected
    timer.reset()
    assert timer.totals() == dict.fromkeys(PHASES, 0.0)


def test_the_real_clock_is_in_seconds():
    timer = PhaseTimer(CPU)
    timer.start()
    time.sleep(0.02)
    timer.mark("data")
    assert 0.02 <= timer.totals()["data"] < 2
    assert timer.totals()["forward"] == 0


def test_marks_that_make_no_sense():
    timer = PhaseTimer(CPU)
    with pytest.raises(RuntimeError, match=r"mark\(\) comes after start\(\)"):
        timer.mark("data")
    timer.start()
    with pytest.raises(KeyError):
        timer.mark("lunch")


class Gpu:
    """A GPU's events, as far as the timer sees them: they are over only once the GPU is there."""

    def __init__(self):
        self.recorded, self.reached = [], 0

    def event(self, enable_timing):
        assert enable_timing
        gpu = self

        class Event:
            def record(self, stream):
                self.number = len(gpu.recorded)
                gpu.recorded.append(self)

            def query(self):
                return self.number < gpu.reached

            def synchronize(self):
                gpu.reached = max(gpu.reached, self.number + 1)

            def elapsed_time(self, end):
                assert end.query(), "not over yet"
                return 10.0 * (end.number - self.number)

        return Event()


def test_on_a_gpu_nothing_waits_and_events_do_not_pile_up(clock, monkeypatch):
    gpu = Gpu()
    monkeypatch.setattr(torch.cuda, "Event", gpu.event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    timer = PhaseTimer(torch.device("cuda"))
    held = []
    for _ in range(50):
        timer.start()
        clock(0.25)
        timer.mark("data")
        for phase in ("forward", "backward", "forward", "backward", "optimizer"):
            timer.mark(phase)
        held.append(len(timer._pending))
        gpu.reached = len(gpu.recorded) - 20  # it lags behind
    assert max(held) <= 25
    assert gpu.reached < len(gpu.recorded)
    totals = timer.totals()
    assert not timer._pending
    expected = {"data": 12.5, "forward": 1.0, "backward": 1.0, "optimizer": 0.5}
    assert totals == pytest.approx(expected)
    assert timer.totals() == totals
    timer.start()
    timer.mark("forward")
    timer.reset()
    assert timer.totals()["forward"] == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_real_gpu():
    device = torch.device("cuda")
    timer = PhaseTimer(device)
    matrix = torch.randn(4096, 4096, device=device)
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(20):
        timer.start()
        timer.mark("data")
        matrix @ matrix
        timer.mark("forward")
        for _ in range(2):
            matrix @ matrix
        timer.mark("backward")
    torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    totals = collections.Counter(timer.totals())
    assert 0.5 * seconds < totals["forward"] + totals["backward"] <= 1.01 * seconds
    assert totals["backward"] > 1.5 * totals["forward"]
