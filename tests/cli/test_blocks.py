"""``ldb train --strategy blocks``: its run, its resumption, and what does not fit."""

import pytest
from safetensors.torch import load_file

from command import TINY, metrics_of, stop_after
from layerdropback.training.settings_file import read_settings

BLOCKS = ["--strategy", "blocks", "--active-blocks", "1", "--block-order", "cyclic"]
RUN = ["train", *TINY, *BLOCKS, "--train-part", "head", "--period-steps", "3"]


def test_a_run_whose_blocks_take_turns(run, tmp_path):
    code, output, errors = run(*RUN, "--epochs", 2, "--out", tmp_path / "run")
    assert (code, errors) == (0, "")
    assert "blocks, 1 active (cyclic), over" in output.splitlines()[0]
    assert metrics_of(tmp_path / "run")[-1]["share_dropped"] > 0.5
    found = read_settings(tmp_path / "run" / "settings.yaml")
    assert (found["active_blocks"], found["train_part"], found["period_steps"]) == (1, ("head",), 3)
    assert (found["every"], found["start"], found["resting_state"]) == (1, 0, "offload")


def test_it_is_resumed_within_a_period_bit_for_bit(run, tmp_path):
    assert run(*RUN, "--epochs", 3, "--out", tmp_path / "whole")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 5)
        assert run(*RUN, "--epochs", 3, "--out", tmp_path / "run")[0] == 143
    assert run("train", "--out", tmp_path / "run", "--resume")[0] == 0
    whole, resumed = (load_file(tmp_path / n / "weights.safetensors") for n in ("whole", "run"))
    assert all((whole[name] == resumed[name]).all() for name in whole)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--active-blocks", "0"], "--active-blocks 0 is not usable. Cause: blocks are counted"),
        (["--active-blocks", "99"], "--active-blocks 99 leaves no block to rest: there are 4"),
        (["--train-part", "tail"], "--train-part ('tail',) is not usable"),
        (["--resting-state", "disk"], "--resting-state 'disk' is not usable"),
        (["--drop-rate", "0.3"], "--drop-rate is not usable with --strategy blocks"),
        (["--lr-scale", "inverse"], "--lr-scale 'inverse' is not usable with Blocks()"),
        (["--ramp", "rising"], "--ramp 'rising' is not usable with Blocks()"),
    ],
)
def test_what_does_not_fit_is_one_line(run, tmp_path, flags, words):
    command = ("train", *TINY, "--strategy", "blocks", *flags, "--out", tmp_path / "run")
    code, _, errors = run(*command, "--epochs", 1)
    assert code == 2
    assert len(errors.splitlines()) == 1
    assert words in errors
