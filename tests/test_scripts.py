"""The demo and the benchmarks, cut down to seconds: that they run, and what they print."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from benchmarks.__main__ import main
from benchmarks.common.card_files import read as read_card
from benchmarks.images import evidence, finetune_recipe
from benchmarks.memory import memory_public_table
from benchmarks.steps import compile_step, rounding, step_profile, twins
from folders import make_folder
from layerdropback import PRESETS
from layerdropback.tasks import images
from layerdropback.tasks.arms import parse_arm
from layerdropback.tasks.images import HELD_OUT
from layerdropback.training.config import TrainConfig
from layerdropback.training.images.data import load_data
from trainer_runs import tiny_bert

ROOT = Path(__file__).parents[1]


def demo():
    """The commands of ``make demo``, as arguments of ``ldb``."""
    text = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^demo: .*\n((?:\t.*\n)+)", text, re.M)
    lines = re.findall(r"^\t\$\(BIN\)/ldb (.*)$", recipe, re.M)
    for name, value in re.findall(r"^(DEMO|TUNED) := (.*)$", text, re.M):
        lines = [line.replace(f"$({name})", value) for line in lines]
    lines = [line.replace("examples/", f"{ROOT}/examples/") for line in lines]
    return [line.partition(" > ")[0].split() for line in lines]


def test_the_demo_fine_tunes_with_the_preset_from_weights_of_other_classes(run, monkeypatch):
    asked = []
    monkeypatch.setattr("layerdropback.training.run.train", asked.append)
    compare = "layerdropback.tasks.images.compare_images"
    monkeypatch.setattr(compare, lambda config, arms, plan: asked.extend([config, arms, plan]))
    assert [run(*command)[0] for command in demo()] == [0, 0]
    before, after, arms, plan = asked
    assert not before.drop_settings().ever_drops
    method = after.drop_settings()
    assert replace(method, schedule=replace(method.schedule, length=None)) == PRESETS["finetune"]
    assert [arm.name for arm in arms] == ["plain", "ldb", "plain@ldb"]
    assert after.init == before.out / "weights.safetensors"
    first, second = (config.data.partition(":")[2] for config in (before, after))
    assert sorted(first + second) == list("0123456789")
    assert (len(plan.seeds), plan.margin, len(plan.lr_grid)) == (10, 1.0, 4)
    assert plan.lr_grid[0] < before.lr < plan.lr_grid[-1]
    spare = len(load_data(after.data).train) - after.limit_train
    assert spare > after.limit_train * HELD_OUT, "what rates are tuned on is not trained on"


@pytest.mark.usefixtures("no_drawings")
def test_the_demo_ends_with_its_table_and_names_the_report(run, short_pilot, monkeypatch):
    """Smaller: its verdict is none that counts."""
    monkeypatch.setattr(images, "MOST", 60)
    smaller = ["--limit-train", "96", "--limit-test", "20", "--batch-size", "16"]
    smaller += ["--image-size", "8", "--epochs", "1"]
    smaller += ["--model-args", "channels=[8, 8, 16, 16]", "--model-args", "stem_width=8"]
    before, after = demo()
    three = ["--lr-grid", "0.0005,0.001,0.002"]
    assert run(*before, *smaller)[0] == 0
    code, output, errors = run(*after, *smaller, "--seeds", "2", *three)
    assert (code, errors) == (0, "")
    for arm in ("plain", "ldb", "plain@ldb"):
        assert f"\n| {arm} " in output
    assert "\nldb: " in output
    assert "n = 2 seeds" in output
    assert output.splitlines()[-1] == "the report is runs/demo/report.html"
    assert output.count("\ntuning ") == 3
    assert len(output.splitlines()) < 22


@pytest.mark.slow
def test_rounding_alone_is_told(monkeypatch, capsys):
    monkeypatch.setattr(rounding, "CASES", [("test_resnet", 16, 2, 2, {})])
    threads = torch.get_num_threads()
    try:
        main(["rounding", "--model", "test_resnet"])
    finally:
        torch.set_num_threads(threads)
    (to_double,) = re.findall(r"float32 to float64: ([\d.e-]+) \(", capsys.readouterr().out)
    assert 1e-9 < float(to_double) < 1e-3


@pytest.mark.slow
def test_the_profile_card_is_written(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(step_profile, "CASES", [("test_resnet", 16, 2, 2)])
    out = tmp_path / "results" / "card"
    flags = ["--out", str(out), "--pairs", "3", "--rates", "0.5", "0.75", "--device", "cpu"]
    flags += ["--models", "test_resnet", "--threads", "1"]
    main(["step_profile", *flags])
    card = out.with_suffix(".md").read_text()
    assert card.count("\n| test_resnet | 16 ") == 1
    for strategy in ("uniform", "truncate", "branch"):
        depths = 5 if strategy == "truncate" else 0  # of one of the rates, one by one
        assert card.count(f"\n| test_resnet | {strategy} ") == 2 + depths
    assert "Command: `python -m benchmarks step-profile --out" in card
    assert re.search(r"Measured of ideal: median -?\d\.\d\d, .* n = 6; \d under 0\.85", card)
    (profile,) = read_card(out)["profiles"]
    assert [saving["setting"]["drop_rate"] for saving in profile["savings"]] == [0.5, 0.75] * 3
    assert profile["phases"]["n"] == 5
    assert capsys.readouterr().out.endswith(card + "\n")


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler's own
@pytest.mark.slow
def test_the_compile_card_is_written(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(compile_step, "CASES", [("test_vit", 160, 2, 2, {"pos_drop_rate": 0.0})])
    out = tmp_path / "results" / "card"
    flags = ["--out", str(out), "--pairs", "3", "--strategies", "uniform", "branch"]
    flags += ["--models", "test_vit", "--device", "cpu", "--backend", "aot_eager"]
    main(["compile-step", *flags])
    card = out.with_suffix(".md").read_text()
    for row in (
        r"uniform 0.5 +\| 0( +\| \d.\de[+-]\d\d){2} +\| [34]",
        r"branch 0.5 +\| 0( +\| \d.\de[+-]\d\d){2} +\| 2",
    ):
        assert re.search(rf"\n\| test_vit \| {row} +\| 0 .*\| 5 ", card), row
    (settings,) = read_card(out)["results"].values()
    for found in settings:
        assert found["one_has"] == []
        assert max(found["largest_difference"].values())[0] < 1e-3
        assert len({seconds["mask"] for seconds in found["times"]}) == 5
    assert capsys.readouterr().out.endswith(card + "\n")


def test_what_the_compile_card_would_tell_of_wrong_gradients():
    models = [nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    with torch.no_grad():
        models[1][1].weight *= 2
    pair = [compile_step.Bench(model, torch.ones(1, 2)) for model in models]
    both = twins.Twins(pair, "uniform", 0.5)
    wrong, worst = both.compare()
    assert wrong == []
    assert worst == (pytest.approx(1.0), "0.weight")
    both.compare()  # a drop step
    models[1][0].requires_grad_(False)
    assert both.compare()[0] == ["0.weight", "0.bias"]
    assert twins.relative(torch.ones(2), torch.zeros(2)) == float("inf")


@pytest.mark.slow
def test_the_cifar10_card_is_written(capsys, tmp_path):
    make_folder(tmp_path / "images", size=(32, 32), train=16, test=4)
    for name in ("cpu", "gpu"):
        settings = yaml.safe_load((ROOT / "examples" / f"cifar10-{name}.yaml").read_text())
        settings |= {"model": "test_resnet", "batch_size": 8, "image_size": 32}
        settings |= {"model_args": [], "compile": "no"}  # compiling takes a minute here
        (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
        flags = ["--settings", str(tmp_path / "settings.yaml"), "--epochs", "3", "--threads", "1"]
        flags += ["--data", f"folder:{tmp_path / 'images'}", "--out", str(tmp_path / name)]
        main(["cifar10", *flags])
        card = (tmp_path / f"{name}.md").read_text()
        assert card.count("\n| plain ") == card.count("\n| LayerDropBack ") == 1
        assert "n = 1 seed" in card
        numbers = read_card(tmp_path / name)
        modes = [epoch["mode"] for epoch in numbers["epochs"]["LayerDropBack"]]
        assert modes == ["full", "drop", "full"]
        assert [epoch["mode"] for epoch in numbers["epochs"]["plain"]] == ["full"] * 3
        assert capsys.readouterr().out.endswith(card + "\n")


@pytest.mark.slow
def test_the_card_of_the_recipe_for_fine_tuning_is_written(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(finetune_recipe, "MODEL", "test_resnet")
    images = make_folder(tmp_path / "images", size=(40, 40), train=24, test=2)
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "first.safetensors")
    always = ["--data", str(images), "--init", str(tmp_path / "first.safetensors")]
    always += ["--out", str(tmp_path / "card"), "--threads", "1", "--image-size", "32"]
    small = "batch_size=6,epochs=1"
    for flags, rows in (
        (["--seeds", "1", "--change", small, "--timed"], ["plain ", "preset "]),
        (
            ["--folds", "2", "--arms", "preset", "--change", small, "--change", f"{small},lr=0.1"],
            [f"preset | {small} ", f"preset | {small},lr=0.1 "],
        ),
    ):
        main(["finetune-recipe", *always, *flags])
        text = (tmp_path / "card.md").read_text()
        assert "at 32 pixels" in text
        assert [text.count(f"\n| {row}") for row in rows] == [1, 1]
        runs = read_card(tmp_path / "card")["runs"]
        assert len(runs) == len(rows) * (2 if "--folds" in flags else 1)
        saved = [run["backward_saved"] > 0.2 for run in runs]
        assert saved == [run["arm"] == "preset" for run in runs]
        assert ("seconds" in runs[0]) == ("of plain's" in text) == ("--timed" in flags)
        assert capsys.readouterr().out.endswith(text + "\n")
        if "--timed" in flags:
            held = {run["arm"]: run["held_mb"] for run in runs}
            assert 0 < held["preset"] < held["plain"]


def test_held_out_parts_are_each_tested_once():
    data = load_data("digits", limit_train=50)
    parts = list(finetune_recipe.folds_of(data, 4))
    tested = torch.cat([part.test.pixels for part in parts])
    assert sorted(map(bytes, tested.numpy())) == sorted(map(bytes, data.train.pixels.numpy()))
    for part in parts:
        assert len(part.train) + len(part.test) == 50
        own = set(map(bytes, part.test.pixels.numpy()))
        assert not own & set(map(bytes, part.train.pixels.numpy()))


def test_the_evidence_is_screened_and_confirmed(monkeypatch, tmp_path):
    for split, kind in itertools.product(("train", "test"), (*evidence.FIRST, *evidence.SECOND)):
        (tmp_path / "data" / split / kind).mkdir(parents=True)
    made = []
    monkeypatch.setattr(evidence, "ldb", lambda *command: made.append(command))
    work = tmp_path / "work"
    flags = ["--data", str(tmp_path / "data"), "--work", str(work)]

    def go(*more):
        made.clear()
        main(["evidence", *flags, *more])
        return [command[0] for command in made]

    assert go("--task", "scratch-resnet", "--arms", "truncate.3", "branch.3") == ["sweep"]
    (screen,) = made
    assert screen.count("--arm") == 2
    assert f"folder:{tmp_path / 'data'}" in screen
    assert go("--task", "tune-vit", "--confirm", "truncate.3") == ["train", "compare"]
    before, confirm = made
    assert f"folder:{work / 'first'}" in before
    assert str(work / "tune-vit-before" / "weights.safetensors") in confirm
    assert sorted(path.name for path in (work / "second" / "test").iterdir()) == sorted(
        evidence.SECOND
    )
    for name, text in evidence.ARMS.items():  # each is a way to drop that the lab can read
        assert parse_arm(f"{name}:{text}", TrainConfig(epochs=12))[0] == name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")  # peft's own
@pytest.mark.filterwarnings("ignore:.*pin_memory:UserWarning")
def test_the_benchmark_of_trainer_times_every_arm_in_turns(tmp_path, capsys, monkeypatch):
    text = tiny_bert(tmp_path)
    (tmp_path / "train.txt").write_text(text.read_text() * 2)
    (tmp_path / "test.txt").write_text("pos a good film\nneg a bad film\n")
    flags = ["--data", tmp_path, "--model", tmp_path, "--limit", 640, "--out", tmp_path / "card"]
    monkeypatch.chdir(tmp_path)
    main(["trainer-minilm", *map(str, flags)])
    arms = read_card(tmp_path / "card")["arms"]
    assert [len(arm["seconds"]) for arm in arms] == [5] * 5
    plain, cut, *_ = (arm["saved"] for arm in arms)
    assert max(cut) < min(plain)
    assert (tmp_path / "card.md").read_text().count("\n| ") == 7


@pytest.mark.slow
def test_the_card_of_memory_is_written(tmp_path, capsys, monkeypatch):
    def small(make):
        def config():
            made = make()
            made.hidden_size, made.intermediate_size, made.vocab_size = 64, 96, 97
            made.num_hidden_layers, made.num_attention_heads, made.head_dim = 4, 4, 16
            made.num_key_value_heads = 2
            return made

        return config

    table = memory_public_table
    models = {name: small(make) for name, make in table.MODELS.items()}
    monkeypatch.setattr(table, "MODELS", models)
    monkeypatch.setattr(table, "PUBLIC", table.PUBLIC[:2])
    main(["memory-public-table", "--out", str(tmp_path / "card")])
    card = (tmp_path / "card.md").read_text()
    assert "| 8B    | full | out of memory |" in card
    assert card.count("\n| ") == 2 + 2 + 2 + len(table.AT_8B)
    record = read_card(tmp_path / "card")
    assert [one["tokens"] for one in record["public"]] == [475, 475, 400, 550]
    kept, *others = (one["kinds"]["states"] for one in record["at_8b"] if "kept" in one["arm"])
    released = [one["kinds"]["states"] for one in record["at_8b"] if one["arm"] == "blocks"]
    assert min(kept, *others) > max(released)
    assert capsys.readouterr().out == card + "\n"
