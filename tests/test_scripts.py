"""The demo and the benchmarks, cut down to seconds: that they run, and what they print."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from test_data import make_folder

ROOT = Path(__file__).parents[1]


def script(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_demo_prints_its_table(monkeypatch, capsys):
    demo = script("examples/demo.py")
    load = demo.load_data
    monkeypatch.setattr(demo, "load_data", lambda name: load(name, limit_train=128))
    monkeypatch.setattr(demo, "EPOCHS", 2)
    plain = replace(demo.PLAIN, model="resnet10t", epochs=2)
    monkeypatch.setattr(demo, "PLAIN", plain)
    arms = {name: replace(plain, dropping=arm.dropping) for name, arm in demo.ARMS.items()}
    monkeypatch.setattr(demo, "ARMS", arms)
    demo.main()
    output = capsys.readouterr().out
    for text in (*arms, demo.SAME_TIME, "A drop epoch took", "n = 1 seed", torch.__version__):
        assert text in output


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
        settings = (ROOT / "examples" / f"cifar10-{name}.yaml").read_text()
        settings = settings.replace("model: resnet18", "model: test_resnet")
        settings = settings.replace("model: resnet10t", "model: test_resnet")
        settings = settings.replace("compile: blocks", "compile: no")  # it takes a minute here
        settings = settings.replace("batch_size: 128", "batch_size: 8")
        settings = settings.replace("batch_size: 64", "batch_size: 8").replace("compile: no", "")
        (tmp_path / "settings.yaml").write_text(settings.replace("image_size: 48", ""))
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
