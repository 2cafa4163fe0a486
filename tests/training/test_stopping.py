"""Stopping and resuming: the run ends as an undisturbed one (issue 3)."""

import json
import os
import re
import signal
import subprocess
import time

import pytest
import torch

from command import stop_after
from layerdropback.runs.claim import claimed
from layerdropback.runs.stopping import Stopped, Stopping
from layerdropback.training.loop import Trainer
from resuming import LDB, SMALL, numbers, weights

TERM, CTRL_C = (signal.SIGTERM, 143), (signal.SIGINT, 130)
OFTEN = [(1, "uniform", CTRL_C), (12, "truncate", TERM)]
OFTEN += [(15, "uniform", TERM), (18, "branch", CTRL_C)]


@pytest.mark.parametrize(
    ("steps", "unbroken", "ended"),
    [
        *OFTEN,
        pytest.param(15, "truncate", TERM, marks=pytest.mark.slow),
        pytest.param(15, "truncate", CTRL_C, marks=pytest.mark.slow),
        *(
            pytest.param(*where, other, marks=pytest.mark.slow)
            for *where, ended in OFTEN
            for other in (TERM, CTRL_C)
            if other != ended
        ),
    ],
    indirect=["unbroken"],
)
def test_a_stop_saves_and_resuming_ends_alike(run, tmp_path, unbroken, steps, ended):
    """In the first step, the last of an epoch, inside a drop epoch, and at its end."""
    (whole, flags), (number, code) = unbroken, ended
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


def test_a_mistyped_folder_begins_no_run_of_its_own(run, tmp_path):
    code, _, errors = run("train", "--out", tmp_path / "hwole", "--resume", "--threads", "1")
    assert code == 2
    assert f"nothing to resume in {tmp_path / 'hwole'}. Cause: no run is there" in errors
    assert not (tmp_path / "hwole").exists()


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
    (told,) = re.findall("no longer bit for bit the unbroken run: (.*)", output)
    assert f"torch was 1.0 and is {torch.__version__}" in told


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


@pytest.mark.slow
def test_a_process_that_is_told_to_stop(tmp_path):
    """From outside, with workers that read images, and to the whole process group.

    Workers leave signals to the main process: that is quick to see in test_pipeline.py.
    """
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


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stopping() as stopping:
            signal.raise_signal(signal.SIGINT)
            stopping.check()
    finally:
        signal.signal(signal.SIGINT, before)
