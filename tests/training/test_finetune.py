"""The recipe ``finetune``, from weights in a file."""

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from command import metrics_of
from folders import make_folder
from layerdropback.training.settings_file import read_settings
from resuming import numbers, stopped, weights

CLASSES = ("ant", "bee", "fly")


@pytest.fixture
def flags(tmp_path):
    """Of a short run on a folder of images; the classifier is new."""
    make_folder(tmp_path / "images", CLASSES, size=(40, 50), train=11, test=3)
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "first.safetensors")
    found = ["--recipe", "finetune", "--model", "test_resnet", "--data", "folder:images"]
    found += ["--init", "first.safetensors", "--image-size", "32", "--in-memory", "no"]
    found += ["--workers", "0"]  # what they add is tested elsewhere
    return [*found, "--batch-size", "6", "--epochs", "2", "--warmup-epochs", "0.5"]


def test_it_is_the_preset_unless_told_otherwise(run, tmp_path, flags):
    assert run("train", *flags, "--out", "run")[0] == 0
    assert [line["mode"] for line in metrics_of(tmp_path / "run")] == ["drop", "drop"]
    settings = read_settings(tmp_path / "run" / "settings.yaml")
    found = [settings[name] for name in ("strategy", "depth", "bn_eval", "optimizer", "crop")]
    assert found == ["truncate", "fixed", "all", "adamw", "resized"]
    before, after = load_file("first.safetensors"), load_file("run/weights.safetensors")
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert {"conv1.0.weight", "bn1.weight"} <= still, "below the cut"
    assert {name for name in before if "running" in name or "tracked" in name} <= still
    assert "layer4.0.conv1.weight" not in still
    assert run("train", *flags, "--drop-rate", "0", "--out", "plain")[0] == 0
    after = load_file("plain/weights.safetensors")
    assert not torch.equal(before["conv1.0.weight"], after["conv1.0.weight"])
    assert [line["mode"] for line in metrics_of(tmp_path / "plain")] == ["full", "full"]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([], id="recipe"),
        pytest.param(["--bn-eval", "dropped"], id="dropped", marks=pytest.mark.slow),
        pytest.param(["--bn-eval", "dropped", "--strategy", "uniform"], id="uniform"),
    ],
)
def test_it_resumes_bit_for_bit(run, tmp_path, flags, more):
    assert run("train", *flags, *more, "--out", "whole")[0] == 0
    stopped(run, *flags, *more)
    (tmp_path / "first.safetensors").unlink()
    assert run("train", "--out", "run", "--resume")[0] == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert numbers(tmp_path / "run") == numbers(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.usefixtures("known_times", "no_drawings")
def test_its_settings_compare(run, flags):
    code, output, errors = run("compare", *flags, "--seeds", "1", "--out", "study")
    assert (code, errors) == (0, "")
    assert "| plain " in output


def test_weights_that_are_nowhere_are_one_line(run, flags, hub):
    at = flags.index("--init")
    code, _, errors = run("train", *flags[:at], *flags[at + 2 :], "--pretrained")
    assert code == 2
    assert errors.startswith("ldb: error: --pretrained: cannot load the weights test_resnet.r160")
    assert errors.count("\n") == 1


def test_timms_weights_are_one_flag(run, tmp_path, flags, hub):
    given = hub(timm.create_model("test_resnet"))
    at = flags.index("--init")
    flags = [*flags[:at], *flags[at + 2 :], "--pretrained", "--epochs", "1"]
    code, output, errors = run("train", *flags, "--out", "run")
    assert (code, errors) == (0, "")
    assert "weights: test_resnet.r160_in1k, with a new classifier" in output
    after = load_file("run/weights.safetensors")
    assert torch.equal(after["conv1.0.weight"], given["conv1.0.weight"])
    assert after["fc.weight"].abs().max() < 0.01, "it began near zero"
