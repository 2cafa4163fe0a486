"""The demo and the benchmarks, cut down to seconds: that they run, and what they print."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import yaml

from test_data import make_folder

ROOT = Path(__file__).parents[1]


def script(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_demo_ends_with_its_table_and_names_the_report(run, short_pilot):
    line = re.search(r"^\t\$\(BIN\)/ldb (compare .*)$", (ROOT / "Makefile").read_text(), re.M)
    smaller = ["--limit-train", "96", "--limit-test", "20", "--batch-size", "16"]
    smaller += ["--epochs", "2", "--seeds", "2"]
    code, output, errors = run(*line[1].split(), *smaller)
    assert (code, errors) == (0, "")
    for arm in ("plain", "ldb", "no-drop@ldb", "plain@ldb"):
        assert f"| {arm} " in output
    assert "n = 2 seeds" in output
    assert output.splitlines()[-1] == "the report is runs/demo/report.html"


def test_the_step_time_card_is_written(monkeypatch, capsys, tmp_path):
    step_time = script("benchmarks/step_time.py")
    monkeypatch.setattr(step_time, "CASES", [("resnet10t", 16, 2, 2)])
    cost = step_time.controller_cost
    monkeypatch.setattr(step_time, "controller_cost", lambda: cost(rounds=3, steps=2, layers=5))
    out = tmp_path / "results" / "card"
    flags = ["--out", str(out), "--pairs", "3", "--warmup", "1", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["step_time.py", *flags, "--models", "resnet10t"])
    step_time.main()
    card = out.with_suffix(".md").read_text()
    assert card.count("| resnet10t | 16 | 2 |") == 3
    assert "python benchmarks/step_time.py --out" in card
    numbers = json.loads(out.with_suffix(".json").read_text())
    assert [row["unit"] for row in numbers["steps"]] == ["layer", "block", "tensor"]
    assert all(len(row["full"]) == len(row["drop"]) == 3 for row in numbers["steps"])
    assert len(numbers["controller_us"]["rate 0"]) == 3
    assert capsys.readouterr().out.endswith(card + "\n")


def test_the_cifar10_card_is_written(monkeypatch, capsys, tmp_path):
    cifar10 = script("benchmarks/cifar10.py")
    make_folder(tmp_path / "images", size=(32, 32), train=16, test=4)
    for name in ("cpu", "gpu"):
        settings = yaml.safe_load((ROOT / "examples" / f"cifar10-{name}.yaml").read_text())
        settings |= {"model": "test_resnet", "batch_size": 8, "image_size": 32}
        settings |= {"model_args": [], "compile": "no"}  # compiling takes a minute here
        (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
        flags = ["--settings", str(tmp_path / "settings.yaml"), "--epochs", "3", "--threads", "1"]
        flags += ["--data", f"folder:{tmp_path / 'images'}", "--out", str(tmp_path / name)]
        monkeypatch.setattr(sys, "argv", ["cifar10.py", *flags])
        cifar10.main()
        card = (tmp_path / f"{name}.md").read_text()
        assert card.count("\n| plain | ") == card.count("\n| LayerDropBack | ") == 1
        assert "n = 1 seed" in card
        numbers = json.loads((tmp_path / f"{name}.json").read_text())
        modes = [epoch["mode"] for epoch in numbers["epochs"]["LayerDropBack"]]
        assert modes == ["full", "drop", "full"]
        assert [epoch["mode"] for epoch in numbers["epochs"]["plain"]] == ["full"] * 3
        assert capsys.readouterr().out.endswith(card + "\n")
