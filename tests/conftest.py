import gc
import signal
import sys
import time

import pytest
import torch
from hypothesis import settings

from in_turn import is_shown

# A shell that starts the tests in the background may have them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The models are tiny, and two workers of pytest-xdist share two cores.
torch.set_num_threads(1)

# Where all tests run there are more: --hypothesis-profile=default.
settings.register_profile("quick", parent=settings.default, max_examples=40)
settings.load_profile("quick")

# Where there is no such device torch ignores its seed. But first it writes down who gave it, with
# the whole stack, which takes longer than a step of a small model; and loops give one in each.
for _kind in ("cuda", "xpu", "mtia"):
    _devices = getattr(torch, _kind, None)
    if hasattr(_devices, "manual_seed_all") and not _devices.is_available():
        _devices.manual_seed_all = int

# Collecting makes objects that last; to look for garbage among them takes a fifth of its time.
# Later it is looked for less often than is usual, as little of it is large.
gc.disable()
gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from sharing_out import ByWhatIsStarted

    config.option.loadscopereorder = False  # tests come in an order already
    return ByWhatIsStarted(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config, items):
    takes_minutes = {item for item in items if item.get_closest_marker("slow")}
    for item in items:
        if not is_shown(item):
            item.add_marker(pytest.mark.slow)
    result = yield
    if hasattr(config, "workerinput"):
        from sharing_out import longest_first

        items[:] = longest_first(items, takes_minutes)
    return result


def pytest_collection_finish():
    gc.enable()


_LAST = []


@pytest.fixture(autouse=True)
def _little_to_collect(request):
    """What was imported so far is left out of collections, for many of which Accelerate asks."""
    # Libraries import more in a file's first tests; to look after each test would take longer.
    now = [request.node.path, len(sys.modules) // 50]
    if now != _LAST:
        _LAST[:] = now
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def _same_start():
    """Every test starts from the same seed and plain, deterministic kernels."""
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def clock(monkeypatch):
    """Seconds pass by a call of this, and while something sleeps, and at no other time."""
    passed = [0.0]

    def wait(seconds):
        passed[0] += seconds

    monkeypatch.setattr(time, "perf_counter", lambda: passed[0])
    monkeypatch.setattr(time, "sleep", wait)
    return wait


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Call it with the arguments of ``ldb``: exit code, output, error output."""
    from command import ldb

    monkeypatch.chdir(tmp_path)
    return lambda *arguments: ldb(*arguments, capsys=capsys, monkeypatch=monkeypatch)


@pytest.fixture
def short_pilot(monkeypatch):
    """For comparisons that take less time than a good pilot does."""
    from layerdropback.lab import pilot, slices

    monkeypatch.setattr(slices, "SLICE", 0.02)
    monkeypatch.setattr(pilot, "ROUNDS", (2, 3))


@pytest.fixture
def no_drawings(monkeypatch):
    """Reports whose figures are empty: to draw them takes longer than a small run's training."""
    from layerdropback.lab.report import drawing, plots

    for module in (drawing, plots):
        monkeypatch.setattr(module, "as_svg", lambda figure, title: "<svg></svg>")


@pytest.fixture
def known_times(monkeypatch):
    """The steps are made, and then take as long as is said here."""
    from layerdropback.lab import pilot, slices

    timed = slices.timed_steps

    def known(player, epoch, steps, done=0):
        timed(player, epoch, 2)
        return 1.0 if player.run.mode(epoch) == "full" else 0.5

    monkeypatch.setattr(slices, "timed_steps", known)
    monkeypatch.setattr(pilot, "ROUNDS", (2, 3))
