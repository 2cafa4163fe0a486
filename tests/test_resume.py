"""Stopping, resuming, and everything that can be wrong with what is resumed (issue 3)."""

import json
import multiprocessing.connection
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings

import pytest
import torch
from safetensors.torch import load_file

from command import metrics_of, stop_after
from layerdropback.training.claim import claimed
from layerdropback.training.loop import Trainer
from layerdropback.training.settings_file import read_settings
from layerdropback.training.stopping import Stopped, Stopping
from layerdropback.training.tally import Tally
from test_data import make_folder

LDB = [sys.executable, "-m", "layerdropback"]
SMALL = ["--model", "test_resnet", "--limit-train", "96", "--limit-test", "20", "--batch-size", "8"]
MEASURED = ("seconds", "images_per_second", "phases", "peak_memory_mib")


def numbers(folder):
    return [
        {key: value for key, value in line.items() if key not in MEASURED}
        for line in metrics_of(folder)
    ]


def weights(folder):
    return (folder / "weights.safetensors").read_bytes()


@pytest.fixture
def unbroken(run, tmp_path, request):
    """A run that nothing stopped, and its flags."""
    strategy = getattr(request, "param", "uniform")
    flags = [*SMALL, "--epochs", "3", "--batch-scale", "2", "--ema", "0.9", "--strategy", strategy]
    assert run("train", *flags, "--out", tmp_path / "unbroken")[0] == 0
    return tmp_path / "unbroken", flags


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "ctrl-c"]
)
@pytest.mark.parametrize(
    ("steps", "unbroken"),
    [
        (1, "uniform"),
        (12, "truncate"),
        (15, "uniform"),
        (15, "truncate"),
        (15, "adaptive"),
        (18, "branch"),
    ],
    indirect=["unbroken"],
)
def test_a_stop_saves_and_resuming_ends_alike(run, tmp_path, unbroken, steps, number, code):
    """In the first step, the last of an epoch, inside a drop epoch, and at its end."""
    whole, flags = unbroken
    out = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, steps, number)
        found, output, errors = run("train", *flags, "--out", out)
    assert (found, errors) == (code, "")
    assert f"all saved; go on with: ldb train --out {out} --resume" in output
    assert not (out / "weights.safetensors").exists()
    found, output, errors = run("train", "--out", out, "--resume")
    assert (found, errors) == (0, "")
    assert f"resumed from step-{steps:09d}-" in output
    assert weights(out) == weights(whole)
    assert numbers(out) == numbers(whole)
    assert (out / "metrics.csv").read_text().count("\n") == 4


def test_a_signal_during_the_test_stops_there(run, tmp_path, unbroken, monkeypatch):
    whole, flags = unbroken
    out = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        from layerdropback.training import loop

        real = loop.score

        def scored(*arguments):
            signal.raise_signal(signal.SIGTERM)
            return real(*arguments)

        patch.setattr(loop, "score", scored)
        code, output, _ = run("train", *flags, "--out", out)
    assert code == 143
    assert "stopped after 0 of 3 epochs and 12 steps" in output
    assert run("train", "--out", out, "--resume")[0] == 0
    assert weights(out) == weights(whole)
    assert numbers(out) == numbers(whole)


def test_the_same_command_with_resume_begins_and_goes_on(run, tmp_path, unbroken):
    """As a batch system does it, which starts the same line again and again."""
    whole, flags = unbroken
    out = tmp_path / "run"
    command = ["train", *flags, "--out", out, "--resume"]
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 14)
        code, output, _ = run(*command)
    assert code == 143
    assert f"nothing to resume in {out} yet: a new run" in output
    assert run(*command)[0] == 0
    assert weights(out) == weights(whole)
    (out / "weights.safetensors").unlink()
    code, output, _ = run(*command)
    assert code == 0
    assert "epoch 3 of 3 done" in output
    assert weights(out) == weights(whole), "the end of a finished run can be written again"


def test_other_settings_are_refused_and_free_ones_are_taken(run, tmp_path, unbroken):
    out, _ = unbroken
    code, _, errors = run("train", "--out", out, "--resume", "--lr", "0.1", "--epochs", 4)
    assert code == 2
    assert "--lr is 0.1 here and 0.05 there" in errors
    assert "--epochs is 4 here and 3 there" in errors
    assert "leave these flags out, or give another --out" in errors
    assert run("train", "--out", out, "--resume", "--checkpoints", 5, "--threads", 1)[0] == 0


def damage(run_folder, newest=True):
    files = sorted((run_folder / "checkpoints").iterdir())
    for file in files[-1:] if newest else files:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 8
        file.write_bytes(data)
    return files


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(run, tmp_path, unbroken):
    out, _ = unbroken
    before = weights(out)
    (out / "weights.safetensors").unlink()
    older, newer = damage(out)
    code, output, errors = run("train", "--out", out, "--resume")
    assert (code, errors) == (0, "")
    assert f"checkpoint {newer.name} is damaged" in output
    assert f"going back to {older.name}" in output
    assert "epoch 2 of 3 done" in output
    assert weights(out) == before
    assert len(metrics_of(out)) == 3


def test_without_a_good_checkpoint_it_stops_and_nothing_is_lost(run, tmp_path, unbroken):
    out, _ = unbroken
    before = (out / "metrics.jsonl").read_text()
    files = damage(out, newest=False)
    code, _, errors = run("train", "--out", out, "--resume")
    assert code == 2
    assert errors.count("\n") == 1
    assert "no checkpoint in" in errors
    assert all(file.name in errors for file in files)
    assert "begin again with --overwrite" in errors
    for file in files:
        file.unlink()
    code, _, errors = run("train", "--out", out, "--resume")
    assert code == 2
    assert "has metrics of finished epochs, but no checkpoint" in errors
    assert (out / "metrics.jsonl").read_text() == before


def test_a_run_that_was_killed_before_it_saved_says_so(run, tmp_path, unbroken):
    whole, flags = unbroken
    out = tmp_path / "early"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", lambda *_: (_ for _ in ()).throw(OSError("power")))
        assert run("train", *flags, "--out", out)[0] == 2
    code, output, _ = run("train", "--out", out, "--resume")
    assert code == 0
    assert "no checkpoint was saved before the stop: from the beginning" in output
    assert weights(out) == weights(whole)


def test_a_checkpoint_of_another_run_is_not_taken(run, tmp_path, unbroken):
    out, flags = unbroken
    other = tmp_path / "other"
    assert run("train", *flags, "--seed", 5, "--out", other)[0] == 0
    for file in (other / "checkpoints").iterdir():
        (out / "checkpoints" / file.name).write_bytes(file.read_bytes())
    for file in (out / "checkpoints").iterdir():
        if not (other / "checkpoints" / file.name).exists():
            file.unlink()
    code, _, errors = run("train", "--out", out, "--resume")
    assert code == 2
    assert "is of another run (seed is 0 here and 5 there)" in errors


def test_overwriting_removes_the_old_runs_checkpoints(run, tmp_path, unbroken):
    out, flags = unbroken
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 1)
        assert run("train", *flags, "--out", out, "--overwrite")[0] == 143
    assert len(list((out / "checkpoints").iterdir())) == 1
    assert (out / "metrics.jsonl").read_text() == ""
    assert not (out / "weights.safetensors").exists()


def test_a_disk_that_fills_up_stops_no_training(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("layerdropback.training.checkpoint._write", full)
    warnings.simplefilter("default")
    code, _, errors = run("train", *SMALL, "--epochs", 1, "--out", tmp_path / "run")
    assert code == 0
    assert "ldb: warning: no checkpoint could be saved after 12 steps. Cause: No space" in errors
    stop_after(monkeypatch, 2)
    code, _, errors = run("train", *SMALL, "--epochs", 1, "--out", tmp_path / "other")
    assert code == 2
    assert "stopped, but no checkpoint could be saved after 2 steps" in errors


def test_one_process_at_a_time(run, tmp_path, unbroken):
    out, _ = unbroken
    with claimed(out):
        code, _, errors = run("train", "--out", out, "--resume")
    assert code == 2
    assert "is in use. Cause: another process is training there" in errors


def test_another_machine_is_told(run, tmp_path, unbroken):
    out, _ = unbroken
    facts = json.loads((out / "machine.json").read_text())
    facts["versions"]["torch"] = "1.0"
    (out / "machine.json").write_text(json.dumps(facts))
    _, output, _ = run("train", "--out", out, "--resume")
    assert f"no longer bit for bit the unbroken run: torch was 1.0 and is {torch.__version__}" in (
        output
    )


def test_checkpoints_every_so_many_steps_change_nothing(run, tmp_path, unbroken):
    whole, flags = unbroken
    out = tmp_path / "often"
    assert run("train", *flags, "--out", out, "--checkpoint-every", 5, "--checkpoints", 9)[0] == 0
    steps = [int(file.name[5:14]) for file in sorted((out / "checkpoints").iterdir())]
    assert steps == [5, 10, 12, 15, 18, 20, 25, 30, 30]
    assert weights(out) == weights(whole)
    assert numbers(out) == numbers(whole)


def test_random_numbers_of_the_model_go_on(tmp_path):
    """Dropout draws from torch's global generator, which a checkpoint holds."""
    from dataclasses import replace

    from layerdropback.training.config import TrainConfig
    from layerdropback.training.images.data import load_data

    data = load_data("digits", limit_train=96, limit_test=20)
    config = replace(TrainConfig(model="test_resnet", epochs=2, batch_size=8))

    def trainer():
        made = Trainer(config, data)
        made.model.global_pool.register_forward_hook(
            lambda module, args, out: torch.nn.functional.dropout(out, 0.3, module.training)
        )
        return made

    class Stop(Exception):
        pass

    def stop(images):
        if stopped.steps == 17:
            saved.append(stopped.state_dict())
            raise Stop

    whole, stopped, saved = trainer(), None, []
    results = [whole.train_epoch(epoch) for epoch in range(2)]
    stopped = trainer()
    with pytest.raises(Stop):
        for epoch in range(2):
            stopped.train_epoch(epoch, stop)
    torch.save(saved[0], tmp_path / "state.pt")
    resumed = trainer()
    torch.rand(7)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    result = resumed.train_epoch(1)
    assert result.train_loss == results[1].train_loss
    state, expected = resumed.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_a_second_signal_acts_at_once():
    with Stopping() as stopping:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped, match="SIGINT") as stopped:
            stopping.check()
    assert stopped.value.code == 130


def test_a_process_that_is_told_to_stop(tmp_path):
    """From outside, with workers that read images, and to the whole process group."""
    command = [*LDB, "train", *SMALL, "--epochs", "500", "--threads", "1", "--workers", "1"]
    command += ["--randaugment", "--out", str(tmp_path / "run")]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while not process.stdout.readline().startswith("epoch   1/500"):
            assert process.poll() is None
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (143, "")
    assert "all saved" in output


@pytest.fixture
def images(run, tmp_path):
    """A folder of images, and the flags of a run on it; the run itself, unbroken, beside them."""
    make_folder(tmp_path / "images", size=(16, 16), train=24, test=6)
    flags = ["--model", "test_resnet", "--data", "folder:images", "--batch-size", "8"]
    flags += ["--epochs", "2", "--workers", "0"]
    assert run("train", *flags, "--out", "whole")[0] == 0
    return flags


def stopped(run, *flags):
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 8)
        assert run("train", *flags, "--out", "run")[0] == 143


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


def test_the_first_weights_are_not_needed_again(run, tmp_path, images):
    start = tmp_path / "start.safetensors"
    shutil.copy(tmp_path / "whole" / "weights.safetensors", start)
    flags = [*images, "--init", "start.safetensors"]
    assert run("train", *flags, "--out", "tuned")[0] == 0
    stopped(run, *flags)
    start.unlink()
    assert run("train", "--out", "run", "--resume")[0] == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "tuned")


def test_the_first_weights_are_not_overwritten(run, tmp_path, images):
    start = tmp_path / "whole" / "weights.safetensors"
    code, _, errors = run("train", *images, "--init", start, "--out", "whole", "--overwrite")
    assert code == 2
    assert "would be removed by --overwrite. Cause: it is in --out whole" in errors
    assert start.exists()


def test_what_is_missing_is_told_before_anything_is_removed(run, tmp_path, unbroken, monkeypatch):
    out, flags = unbroken
    before = weights(out)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    code, _, errors = run("train", *flags, "--out", out, "--overwrite", "--tensorboard")
    assert code == 2
    assert "--tensorboard is not usable" in errors
    assert weights(out) == before


def test_a_run_that_began_meanwhile_is_not_removed(run, tmp_path, unbroken, monkeypatch):
    """Reading the data may take minutes, in which another process may begin in the same folder."""
    out, flags = unbroken
    hidden = out.rename(tmp_path / "hidden")
    make = Trainer.__init__

    def slow(*arguments, **settings):
        make(*arguments, **settings)
        hidden.rename(out)

    monkeypatch.setattr(Trainer, "__init__", slow)
    code, _, errors = run("train", *flags, "--out", out)
    assert code == 2
    assert "already has settings.yaml" in errors
    assert (out / "weights.safetensors").exists()


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
def test_a_killed_worker_costs_no_step(run, tmp_path, images, monkeypatch):
    """As the system does when memory is short."""
    add, calls = Tally.add, 0

    def counted(tally, *arguments):
        nonlocal calls
        calls += 1
        if calls == 3:
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)
        return add(tally, *arguments)

    flags = [*images[:-1], "1", "--randaugment"]
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
def test_a_worker_killed_while_it_hands_over_a_batch_costs_no_step(
    run, tmp_path, images, monkeypatch, error
):
    """A race, so it is acted: what comes up is the error of the connection, not of the loader."""
    connect, calls = multiprocessing.connection.Client, 0

    def cut_off(*arguments, **named):
        nonlocal calls
        calls += 1
        if calls == 6:
            raise error
        return connect(*arguments, **named)

    flags = [*images[:-1], "1", "--randaugment"]
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


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stopping() as stopping:
            signal.raise_signal(signal.SIGINT)
            stopping.check()
    finally:
        signal.signal(signal.SIGINT, before)
