"""`ldb train` over several workers: it trains, saves and tells what one process would (issue 6)."""

import copy
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from command import metrics_of
from layerdropback.training import step as step_module
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import Dropping
from layerdropback.training.images.data import load_data
from layerdropback.training.loop import Trainer
from layerdropback.training.workers import ALONE, Workers
from workers import in_workers

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without distributed"
)

# No BatchNorm, whose statistics are those of a worker's share.
MODEL_ARGS = ("embed_dim=32", "depth=3", "num_heads=2")
BASE = TrainConfig(
    model="vit_tiny_patch16_224",
    model_args=MODEL_ARGS,
    epochs=4,
    batch_size=16,
    lr=0.02,
    clip_grad=1.0,
    dropping=Dropping(drop_rate=0.6, lr_scale=1.5),
)
CASES = {
    "uniform": BASE,
    "scaled": replace(BASE, epochs=2, dropping=BASE.dropping.changed(batch_scale=2), accumulate=2),
    "truncate": replace(BASE, epochs=2, dropping=BASE.dropping.changed(strategy="truncate")),
    "branch": replace(
        BASE, epochs=2, dropping=BASE.dropping.changed(strategy="branch", unit="block")
    ),
    "adamw": replace(BASE, epochs=2, optimizer="adamw", lr=1e-3),
    "by image": replace(BASE, epochs=2, randaugment=True, workers=1),
    "plain": replace(BASE, epochs=2, dropping=Dropping(drop_rate=0)),
}


def data():
    # 69 training images: the last 5 are no whole batch. 23 for the test: shares are not alike.
    return load_data("digits", limit_train=69, limit_test=23)


def finished(config, workers=ALONE, epochs=None, state=None):
    """Metrics and the whole state."""
    trainer = Trainer(config, data(), None if state is None else state, workers)
    try:
        if state is not None:
            trainer.load_state_dict(state)
        rows = [trainer.train_epoch(epoch) for epoch in epochs or range(config.epochs)]
        return {"rows": [row.as_dict() for row in rows], "state": trainer.state_dict()}
    finally:
        trainer.pipeline.close()


def group(rank):
    return Workers(rank, torch.distributed.get_world_size(), grouped=True)


# What shards add is tested of the library in test_fsdp.py.
# The same is shown of each strategy there, and in test_ddp.py.
QUICK = [("ddp", name) for name in ("uniform", "scaled", "by image", "plain")] + [
    ("fsdp", "scaled")
]
OTHERS = [("ddp", name) for name in ("truncate", "branch", "adamw")]
OTHERS += [("fsdp", name) for name in ("branch", "adamw", "plain")]


def train_all(rank, pairs):
    workers = group(rank)
    found = {
        f"{kind} {name}": finished(replace(CASES[name], parallel=kind), workers)
        for kind, name in pairs
    }
    return found if workers.first else {}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return in_workers(tmp_path_factory.mktemp("pair"), train_all, QUICK)[0]


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return in_workers(tmp_path_factory.mktemp("others"), train_all, OTHERS)[0]


@pytest.mark.parametrize(("kind", "name"), QUICK)
def test_workers_train_as_one_process_does(kind, name, pair):
    compare(finished(CASES[name]), pair[f"{kind} {name}"])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), OTHERS)
def test_so_they_do_in_every_other_way(kind, name, others):
    compare(finished(CASES[name]), others[f"{kind} {name}"])


def compare(alone, together):
    told = "mode steps batch_size parts lr lr_last lr_factor share_dropped skipped test_accuracy"
    for mine, theirs in zip(alone["rows"], together["rows"], strict=True):
        assert {key: mine[key] for key in told.split()} == {k: theirs[k] for k in told.split()}
        for key in ("train_loss", "train_accuracy", "test_loss"):
            assert theirs[key] == pytest.approx(mine[key], rel=1e-3)
    tolerance = {"rtol": 2e-3, "atol": 2e-4}
    mine, theirs = alone["state"], together["state"]
    torch.testing.assert_close(theirs["model"], mine["model"], **tolerance)
    torch.testing.assert_close(
        theirs["optimizer"]["state"], mine["optimizer"]["state"], **tolerance
    )
    for key in ("step", "drop_steps", "times_dropped"):
        assert theirs["ldb"][key] == mine["ldb"][key]


def test_bytes_that_are_sent_are_in_the_metrics(pair):
    full, drop = pair["ddp uniform"]["rows"][:2]
    count = sum(v.numel() for v in pair["ddp uniform"]["state"]["model"].values())
    assert full["sent_mib"] == pytest.approx(4 * count / 2**20, rel=1e-6)
    assert 0 < drop["sent_mib"] < 0.7 * full["sent_mib"]
    assert pair["ddp plain"]["rows"][0]["sent_mib"] == full["sent_mib"]
    assert "sent_mib" not in finished(CASES["plain"])["rows"][0]


# ---- going on with another number of workers -----------------------------------------------------


def go_on(rank, kind, epoch, state):
    state = copy.deepcopy(state)  # spawned workers share the memory of what they are given
    found = finished(replace(CASES["uniform"], parallel=kind), group(rank), [epoch], state)
    return found if rank == 0 else {}


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("ddp", "fsdp"), ("fsdp", "ddp")])
def test_two_workers_four_and_one_go_on_with_each_others_state(kinds, tmp_path):
    state, rows = None, []
    for epoch, (count, kind) in enumerate(((2, kinds[0]), (4, kinds[1]), (1, "no"), (2, kinds[1]))):
        folder = tmp_path / str(epoch)
        folder.mkdir()
        if kind == "no":
            found = finished(CASES["uniform"], ALONE, [epoch], state)
        else:
            found = in_workers(folder, go_on, kind, epoch, state, count=count)[0]
        state, rows = found["state"], rows + found["rows"]
    alone = finished(CASES["uniform"])
    torch.testing.assert_close(state["model"], alone["state"]["model"], rtol=2e-3, atol=2e-4)
    for mine, theirs in zip(alone["rows"], rows, strict=True):
        assert theirs["test_accuracy"] == mine["test_accuracy"]


# ---- memory --------------------------------------------------------------------------------------


def run_short(rank):
    """The second worker has no memory for eight images: a whole share of a doubled batch."""
    config = replace(CASES["scaled"], epochs=4, parallel="ddp", accumulate=1)
    expected = finished(config, group(rank))
    run = step_module.Step._run

    def tight(step, images, targets, parts, reduces=True):
        if rank == 1 and len(images) // parts > 8:
            run(step, images[:3], targets[:3], 1, reduces=False)  # it got that far
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return run(step, images, targets, parts, reduces)

    step_module.Step._run = tight
    with pytest.warns(UserWarning, match="batch of 32 images does not fit in memory") as told:
        found = finished(config, group(rank))
    return {"parts": [row["parts"] for row in found["rows"]], "told": len(told)} | {
        "states": [expected["state"]["model"], found["state"]["model"]],
        "masks": [
            expected["state"]["ldb"]["times_dropped"],
            found["state"]["ldb"]["times_dropped"],
        ],
    }


@pytest.mark.slow
def test_one_worker_out_of_memory_makes_all_accumulate(tmp_path):
    first, second = in_workers(tmp_path, run_short)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert first["parts"] == [1, 2, 1, 2]
    assert first["told"] == 1
    torch.testing.assert_close(*first["states"], rtol=1e-3, atol=1e-4)
    assert first["masks"][0] == first["masks"][1]


# ---- the command line ----------------------------------------------------------------------------

TINY = ["train", "--model", "vit_tiny_patch16_224", "--limit-train", "64", "--limit-test", "23"]
TINY += [word for argument in MODEL_ARGS for word in ("--model-args", argument)]
TINY += ["--batch-size", "16", "--lr", "0.02"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def launched(folder, *arguments, options=(), count=2):
    command = [*TORCHRUN, "--nproc-per-node", str(count), *options, "-m", "layerdropback"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_torchrun_writes_one_run(kind, run, tmp_path):
    out = tmp_path / "run"
    done = launched(tmp_path, *TINY, "--epochs", 3, "--parallel", kind, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "ldb: " not in done.stderr
    assert done.stdout.count("final test accuracy") == 1
    assert done.stdout.count("epoch 2/3  drop") == 1
    rows = metrics_of(out)
    machine = json.loads((out / "machine.json").read_text())
    assert machine["hardware"]["processes"] == 2
    # One process evaluates what they exported, and goes on with what they saved.
    code, output, _ = run("evaluate", out)
    assert code == 0
    assert f"accuracy {rows[-1]['test_accuracy']:.2f} %" in output
    newest = sorted((out / "checkpoints").iterdir())[-1]
    newest.unlink()
    code, output, _ = run("train", "--out", out, "--resume", "--parallel", "no")
    assert code == 0
    assert "processes was 2 and is not told" in output
    assert metrics_of(out)[-1]["test_accuracy"] == rows[-1]["test_accuracy"]


def test_what_workers_are_needed_for_and_what_not(run):
    code, _, errors = run(*TINY, "--parallel", "ddp")
    assert code == 2
    assert errors == (
        "ldb: error: --parallel ddp has no workers. Cause: this process was not started by "
        "torchrun. Cure: use torchrun --nproc-per-node N -m layerdropback train ..., or "
        "--parallel no.\n"
    )
    code, _, errors = run(*TINY, "--parallel", "fsdp", "--ema", "0.9")
    assert code == 2
    assert "--ema is not usable with --parallel fsdp" in errors
    code, _, errors = run("compare", "--parallel", "ddp")
    assert code == 2
    assert "No such option" in errors


REFUSED = {
    "no": ([], "2 processes would train the same run. Cause: torchrun started them"),
    "odd": (
        ["--parallel", "ddp", "--batch-size", "15"],
        "--batch-size 15 cannot be shared out evenly to 2 workers",
    ),
    "scaled": (
        ["--parallel", "ddp", "--batch-size", "10", "--batch-scale", "1.5"],
        "the batch of drop epochs, 15 cannot be shared out evenly to 2 workers",
    ),
    "small": (
        ["--parallel", "fsdp", "--batch-size", "8", "--accumulate", "3"],
        "--batch-size 8 is too small for 2 workers",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_shared_out_is_refused(case):
    from layerdropback import UsageError
    from layerdropback.training.workers import require_workers

    flags, expected = REFUSED[case]
    names = [flag.removeprefix("--").replace("-", "_") for flag in flags[::2]]
    values = dict(zip(names, flags[1::2], strict=True))
    typed = {
        k: v if k == "parallel" else float(v) if "." in v else int(v) for k, v in values.items()
    }
    two = Workers.__new__(Workers)
    two.rank, two.count, two.grouped = 0, 2, True
    with pytest.raises(UsageError) as error:
        require_workers(TrainConfig.from_dict(typed), two)
    assert str(error.value).startswith(expected)


@pytest.mark.slow
def test_errors_of_all_are_told_by_one(tmp_path):
    done = launched(tmp_path, *TINY)
    assert done.returncode != 0
    assert done.stderr.count("ldb: error: 2 processes would train the same run") == 1
