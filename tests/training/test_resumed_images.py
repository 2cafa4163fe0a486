"""Resuming where images are read from files, and the processes that read them."""

import multiprocessing.connection
import os
import shutil
import signal
import time

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from layerdropback.runs.claim import claimed
from layerdropback.training.metrics import Tally
from layerdropback.training.settings_file import read_settings
from resuming import numbers, stopped, weights


def test_less_free_memory_changes_nothing(run, tmp_path, images, monkeypatch):
    """Whether images are held was decided when the run began, and with it how they are cut."""
    stopped(run, *images)
    monkeypatch.setattr("layerdropback.training.images.holding._free_memory", lambda: 10**7)
    assert run("train", "--out", "run", "--resume")[0] == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    settings = read_settings(tmp_path / "run" / "settings.yaml")
    assert (settings["in_memory"], settings["crop"], settings["flip"]) == ("yes", "pad", True)


def test_moved_images_are_followed_and_changed_ones_refused(run, tmp_path, images, monkeypatch):
    stopped(run, *images)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    out = tmp_path / "run"
    shutil.copytree(out, tmp_path / "copy")
    (tmp_path / "images").rename(tmp_path / "moved")
    code, _, errors = run("train", "--out", out, "--resume")
    assert code == 2
    assert f"no folder {tmp_path / 'images'}" in errors
    code, _, _ = run("train", "--out", out, "--resume", "--data", f"folder:{tmp_path / 'moved'}")
    assert code == 0
    # Where the images are is a note in the file, so only the weights themselves are compared.
    ends = [load_file(tmp_path / name / "weights.safetensors") for name in ("run", "whole")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[1])

    image = tmp_path / "moved" / "train" / "cat" / "0.png"
    image.write_bytes((tmp_path / "moved" / "train" / "dog" / "0.png").read_bytes())
    data = f"folder:{tmp_path / 'moved'}"
    code, _, errors = run("train", "--out", tmp_path / "copy", "--resume", "--data", data)
    assert code == 2
    assert "is of another run (the images changed since it began)" in errors


def test_the_first_weights_are_not_needed_again(run, tmp_path, pictures):
    start = tmp_path / "start.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), start)
    flags = [*pictures, "--init", "start.safetensors"]
    assert run("train", *flags, "--out", "tuned")[0] == 0
    stopped(run, *flags)
    start.unlink()
    assert run("train", "--out", "run", "--resume")[0] == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "tuned")


def test_the_first_weights_are_not_overwritten(run, tmp_path, pictures):
    start = tmp_path / "whole" / "weights.safetensors"
    assert run("train", *pictures, "--epochs", "1", "--out", "whole")[0] == 0
    code, _, errors = run("train", *pictures, "--init", start, "--out", "whole", "--overwrite")
    assert code == 2
    assert "would be removed by --overwrite. Cause: it is in --out whole" in errors
    assert start.exists()


def test_a_worker_that_outlives_its_process_does_not_hold_the_folder(tmp_path):
    ours, its = os.pipe()
    with claimed(tmp_path):
        pid = os.fork()
        if pid == 0:
            os.write(its, b"I am here")
            time.sleep(60)
            os._exit(0)
        os.read(ours, 1)
    try:
        with claimed(tmp_path):
            pass
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ours)
        os.close(its)


# Where a batch's handing over breaks, torch's loader opens files to see whether any are left, and
# leaves it to the garbage collector to close them.
left_open = pytest.mark.filterwarnings("ignore:unclosed file <_io.BufferedRandom:ResourceWarning")


@left_open
def test_a_killed_worker_costs_no_step(run, tmp_path, pictures):
    """As the system does when memory is short."""
    add, calls = Tally.add, 0

    def counted(tally, *arguments):
        nonlocal calls
        calls += 1
        if calls == 3:
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)
        return add(tally, *arguments)

    flags = [*pictures[:-1], "1", "--randaugment"]
    assert run("train", *flags, "--out", "other")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tally, "add", counted)
        code, _, errors = run("train", *flags, "--out", "run")
    assert code == 2
    assert "a process that reads images was killed" in errors
    code, output, _ = run("train", "--out", "run", "--resume")
    assert code == 0
    assert "resumed from step-00000000" in output
    assert weights(tmp_path / "run") == weights(tmp_path / "other")
    assert numbers(tmp_path / "run") == numbers(tmp_path / "other")


@left_open
@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), EOFError()])
@pytest.mark.slow
def test_a_worker_killed_while_it_hands_over_a_batch_costs_no_step(
    run, tmp_path, pictures, monkeypatch, error
):
    """A race, so it is acted: what comes up is the error of the connection, not of the loader."""
    connect, calls = multiprocessing.connection.Client, 0

    def cut_off(*arguments, **named):
        nonlocal calls
        calls += 1
        if calls == 6:
            raise error
        return connect(*arguments, **named)

    flags = [*pictures[:-1], "1", "--randaugment"]
    assert run("train", *flags, "--out", "other")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing.connection, "Client", cut_off)
        code, _, errors = run("train", *flags, "--out", "run")
    assert code == 2
    assert "a process that reads images was killed" in errors
    code, output, _ = run("train", "--out", "run", "--resume")
    assert code == 0
    assert "resumed from step-00000000" in output
    assert weights(tmp_path / "run") == weights(tmp_path / "other")
