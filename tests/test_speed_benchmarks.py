"""The benchmarks of speed, cut down to seconds: that each times what it says."""

import argparse
import subprocess
import sys

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.common.card_files import read as read_card
from benchmarks.common.card_files import tables
from benchmarks.common.facts import facts_of
from benchmarks.steps import (
    authors_loop,
    controller_cost,
    freed_memory,
    freed_memory_worker,
    loops,
    start_up,
    trainer_cost,
)
from layerdropback.training.optimizing import first_rate


def test_the_controllers_cost_is_written(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(controller_cost, "WORK", 100)
    monkeypatch.setattr(controller_cost, "RESNET_BATCH", 2)
    out = tmp_path / "card"
    main(["controller-cost", "--rounds", "3", "--layers", "5", "100", "--out", str(out)])
    card = out.with_suffix(".md").read_text()
    assert card.count("| rate 0 ") == 1  # of the hundred layers alone
    record = read_card(out)
    assert set(record["controller_us"]) == {"5", "100"}
    assert all(len(values) == 3 for values in record["controller_us"]["100"].values())
    assert record["resnet18"]["layers"] == 41
    assert "A ResNet-18 has 41 layers" in card
    assert capsys.readouterr().out.endswith(card + "\n")


FEW = ["--networks", "resnet", "--images", "64", "--batch-size", "32", "--rounds", "2"]


def test_what_the_trainer_adds_is_written(tmp_path):
    main(["trainer-cost", *FEW, "--out", str(tmp_path / "card")])
    found = read_card(tmp_path / "card")["seconds"]["resnet"]
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(found, 2)
    assert all(0 <= share < 1 for share in found["waiting"])
    assert (tmp_path / "card.md").read_text().count("\n| resnet ") == 1


def test_the_plain_loop_by_hand_is_the_trainers(monkeypatch):
    """So that nothing but bookkeeping is between their times."""
    args = argparse.Namespace(batch_size=32, device="cpu", images=64, rounds=1, threads=None)
    data = loops.random_data(64)
    mine, other = (loops.trainer_of(args, "vit", data, drop_rate=0.0, workers=0) for _ in range(2))
    for _ in mine.steps_of(0):
        pass
    for group in other.optimizer.param_groups:  # the trainer's schedule sets it in each step
        group["lr"] = first_rate(mine.optimizer)
    for _ in trainer_cost.by_hand(other, 0):
        pass
    for one, two in zip(mine.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_authors_loop_drops_in_every_second_epoch_and_its_card_is_written(tmp_path):
    main(["authors-loop", *FEW, "--workers", "0", "--out", str(tmp_path / "card")])
    found = read_card(tmp_path / "card")["seconds"]["resnet"]
    assert {name: len(values) for name, values in found.items()} == {"ours": 2, "authors": 2}
    args = argparse.Namespace(batch_size=32, device="cpu", workers=0)
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(3072, 8), torch.nn.Linear(8, 10)
    )
    theirs, with_gradient = authors_loop.AuthorsLoop(args, model, loops.random_data(640)), []
    for epoch in (0, 1):
        steps = [[p.grad is not None for p in model.parameters()] for _ in theirs.epoch(epoch)]
        with_gradient.append([sum(column) for column in zip(*steps, strict=True)])
    assert with_gradient[0] == [20] * 4
    assert with_gradient[1][2:] == [20, 20]  # the last two tensors never drop
    assert all(0 < count < 20 for count in with_gradient[1][:2])


def test_the_start_up_card_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(start_up, "milliseconds", lambda arguments: float(len(arguments[1])))
    main(["start-up", "--rounds", "3", "--out", str(tmp_path / "card")])
    found = read_card(tmp_path / "card")["milliseconds"]
    assert all(len(values) == 3 for values in found.values())
    assert found["layerdropback, after torch"] == [len(", layerdropback")] * 3


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if "torch" in name else [])
        for name in start_up.PROCESSES
    ],
)
def test_what_is_timed_at_the_start_does_what_it_says(name):
    done = subprocess.run(
        [sys.executable, *start_up.PROCESSES[name]], capture_output=True, text=True, check=False
    )
    assert done.returncode == (2 if "wrong flag" in name else 0)
    assert bool(done.stdout) == ("--help" in name)
    assert ("ldb: error: " in done.stderr) == ("wrong flag" in name)


def test_the_freed_memory_card_is_written(tmp_path, monkeypatch):
    """Half the faults away, a step a tenth shorter where nothing is left out."""

    def process(name, kind, args):
        kept = kind == "kept"
        plain = {"seconds": 0.9 if kept else 1.0, "faults": 0 if kept else 2000}
        blocks = [{"plain": plain, "preset": {"seconds": 0.45, "faults": 7}}] * args.rounds
        peak = 110 if kept else 100
        return {"blocks": blocks, "peak_mib": peak, "facts": facts_of()}

    monkeypatch.setattr(freed_memory, "process", process)
    main(["freed-memory", "--networks", "MiniLM", "--out", str(tmp_path / "card")])
    (row,) = tables((tmp_path / "card.md").read_text())[0][1:]
    assert row[1] == "2,000 [2,000, 2,000] / 0 [0, 0]"
    shares = [cell.split()[0] for cell in row[3:8]]
    assert shares == ["0.900", "1.000", "0.450", "0.500", "1.100"]
    assert row[8] == "4"


@pytest.mark.slow
@pytest.mark.parametrize("kind", freed_memory.KINDS)
def test_steps_with_freed_memory_are_counted(kind):
    args = argparse.Namespace(rounds=1, steps=2)
    found = freed_memory.process("MiniLM", kind, args)
    (block,) = found["blocks"]
    assert set(block) == set(freed_memory_worker.ARMS)
    assert block["plain"]["seconds"] > 0
    assert ("freed_memory" in found["facts"]["hardware"]) == (kind == "kept")
