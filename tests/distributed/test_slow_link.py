"""The scripts that measure what workers send, and how long it takes, cut down to seconds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.common import card_files
from benchmarks.network import link

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without distributed"
)


def launched(name, folder, *flags):
    """Output of a benchmark; the test is skipped for the reason that it gives, if it does."""
    out = folder / "results" / "card"
    command = [sys.executable, "-m", "benchmarks", name, "--out", str(out)]
    done = subprocess.run(
        [*command, *flags],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    if done.stdout.startswith("skipped: "):
        pytest.skip(done.stdout.strip())
    return done.stdout


def namespaces():
    done = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return done.stdout


# ---- the link ------------------------------------------------------------------------------------


def test_without_the_right_the_script_says_so_and_goes(monkeypatch, capsys, tmp_path):
    flags = ["--data", "digits", "--out", str(tmp_path / "card")]
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    main(["slow-link", *flags])
    assert capsys.readouterr().out == "skipped: network namespaces need Linux and root\n"
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setenv("PATH", "")
    main(["slow-link", *flags])
    text = "skipped: ip and tc not found (Debian package iproute2)\n"
    assert capsys.readouterr().out == text
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_the_link_is_left():
    try:
        with link.joined("100mbit") as (first, _):
            name = first[-1]
            assert name in namespaces()
            counter = [*first, "cat", str(link.SENT)]
            assert subprocess.run(counter, capture_output=True, check=True).stdout.strip().isdigit()
    except link.Unavailable as reason:
        pytest.skip(str(reason))
    assert name not in namespaces()
    with pytest.raises(KeyError), link.joined("100mbit"):
        raise KeyError
    assert name not in namespaces()
    with pytest.raises(link.Unavailable, match="`tc -n ldb.* rate fast .*`: "), link.joined("fast"):
        pass
    assert name not in namespaces()


def test_a_worker_that_fails_ends_the_other(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text("import sys, time\nif sys.argv[1] == '1': sys.exit(3)\ntime.sleep(600)\n")
    with pytest.raises(SystemExit, match="a worker failed"):
        link.run_workers([str(script)], tmp_path, [[], []], {})


# ---- the cards -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_bytes_are_counted_alike_inside_and_outside(tmp_path):
    flags = ["--steps", "3", "--epochs", "2", "--depth", "3", "--width", "16"]
    card = launched("wire-bytes", tmp_path, *flags)
    found = card_files.read(tmp_path / "results" / "card")
    assert (tmp_path / "results" / "card.md").read_text() + "\n" == card
    assert len(found["cases"]) == 6
    for case in found["cases"]:
        assert len(case["full"]) == len(case["drop"]) == 6
        full, drop = (sum(s["gradients"] for s in case[mode]) for mode in ("full", "drop"))
        assert drop < full
        if case["wrapper"] == "FSDP2":
            assert full >= 6 * 4 * found["numbers"], "some are padded"
            assert all(step["gathered"] > 0 for step in case["full"] + case["drop"])
        else:
            assert full == 6 * 4 * found["numbers"]
            outside = sum(case["outside"]["full"])
            assert all(step["gathered"] == 0 for step in case["full"])
            assert not outside or full < outside < 1.5 * full


@pytest.mark.slow
@pytest.mark.parametrize("task", ["scratch", "tune"])
def test_the_slow_links_card_is_written(tmp_path, task):
    flags = ["--task", task, "--data", "digits", "--train", "200", "--held", "60", "--test", "60"]
    flags += ["--batch", "32", "--epochs", "2", "--width", "16", "--blocks", "2"]
    flags += ["--rounds", "2", "--seeds", "2", "--tune-seeds", "1", "--before-epochs", "1"]
    printed = launched("slow-link", tmp_path, *flags)
    card = (tmp_path / "results" / "card.md").read_text()
    assert printed.endswith(card + "\n")
    found = card_files.read(tmp_path / "results" / "card")
    assert (found["before"] is None) == (task == "scratch")
    assert ("% of their test images right" in card) == (task == "tune")
    arms = {run["arm"] for run in found["runs"]}
    methods = {name for name in arms if not name.startswith("plain")}
    assert {f"plain@{name}" for name in methods if "fp16" not in name} < arms
    for name in arms:
        assert len(re.findall(rf"^\| {re.escape(name)} +\| 10[01] ", card, re.M)) == 2
        assert re.search(rf"^- {re.escape(name)}: ", card, re.M)
    for name in methods:
        verdict = rf"^- {re.escape(name)}( \(plain .*\))?: (no gain|not enough|better|faster|with)"
        assert re.search(verdict, card, re.M)
    steps = found["steps"]
    assert steps["plain"] == 2 * (200 // 32)
    assert steps["plain-half-batch"] == 2 * (200 // 16)
    given = {name: number for name, number in steps.items() if "@" in name and "fp16" not in name}
    assert 1 <= steps["plain-shortest"] <= min(given.values())
    assert set(found["tuned"]) == arms
    for name in ("uniform.5", "blocks.8"):
        sent = found["sent"][name]
        assert sum(sent["drop"]) < sum(sent["full"])
    assert found["sent"]["plain-frozen-blocks"]["full"][0] < found["sent"]["plain"]["full"][0]
