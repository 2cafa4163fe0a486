"""Arguments of timm's models from the command line to the exported file."""

import pytest
import timm
import torch

from layerdropback.training.export import load_exported, read_metadata
from layerdropback.training.settings_file import read_settings

FLAGS = [
    "--model",
    "test_resnet",
    "--limit-train",
    "64",
    "--limit-test",
    "20",
    "--batch-size",
    "16",
]
FLAGS += ["--epochs", "1"]
NARROW = ["--model-args", "channels=[8, 16, 32, 64]", "--model-args", "drop_rate=0.25"]


def test_they_build_the_model_and_travel_with_it(run, tmp_path):
    code, output, _ = run("train", *FLAGS, *NARROW, "--out", "run")
    assert code == 0
    assert "; with channels=[8, 16, 32, 64], drop_rate=0.25" in output
    weights = tmp_path / "run" / "weights.safetensors"
    spec = read_metadata(weights)["spec"]
    assert spec["args"] == {"channels": [8, 16, 32, 64], "drop_rate": 0.25}
    model = load_exported(weights)
    assert model.layer4[0].conv2.weight.shape[0] == 64
    assert model.drop_rate == 0.25
    assert run("evaluate", "run")[0] == 0
    assert run("train", "--out", "run", "--resume")[0] == 0


def test_a_settings_file_has_them(run, tmp_path):
    assert run("train", *FLAGS, *NARROW, "--out", "run")[0] == 0
    recorded = read_settings(tmp_path / "run" / "settings.yaml")
    assert recorded["model_args"] == ("channels=[8, 16, 32, 64]", "drop_rate=0.25")
    again = ["--config", tmp_path / "run" / "settings.yaml", "--out", "again"]
    assert run("train", *again)[0] == 0
    files = [tmp_path / name / "weights.safetensors" for name in ("run", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_arm_of_a_comparison_may_differ_in_them():
    from layerdropback.tasks.arms import parse_arm
    from layerdropback.training.config import TrainConfig

    _, config = parse_arm("model_args=drop_rate=0.1", TrainConfig())
    assert config.model_args == ("drop_rate=0.1",)
    _, config = parse_arm("model_args=channels=[8, 16, 32, 64],lr=0.1", TrainConfig())
    assert (config.model_args, config.lr) == (("channels=[8, 16, 32, 64]",), 0.1)


def test_weights_of_a_file_from_before_there_were_any(run, tmp_path):
    """Their metadata has no such entry."""
    from layerdropback.training.export import export_weights
    from layerdropback.training.models import ModelSpec, build_model

    spec = ModelSpec("test_resnet", 5, 3, 32, small_stem=False)
    model, _ = build_model(spec)
    assert ModelSpec(**{k: v for k, v in vars(spec).items() if k != "args"}) == spec
    export_weights(model, tmp_path / "a.safetensors", spec, {})
    expected = timm.create_model("test_resnet", num_classes=5)
    assert load_exported(tmp_path / "a.safetensors").state_dict().keys() == (
        expected.state_dict().keys()
    )
    assert all(torch.isfinite(p).all() for p in model.parameters())


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["channels"], "--model-args channels is not usable. Cause: it is KEY=VALUE."),
        (["a b=1"], "--model-args a b=1 is not usable. Cause: it is KEY=VALUE."),
        (["num_classes=3"], "Cause: num_classes follows from the data or from another flag."),
        (["drop_rate=0", "drop_rate=1"], "Cause: drop_rate is given twice."),
        (["channels=["], "Cause: '[' is no value. Cure: give a number, a word or a [list]."),
        (["colour=red"], "unexpected keyword argument 'colour'. Cure: choose another --model, "),
    ],
)
def test_what_cannot_be_used_is_told(run, texts, words):
    flags = [part for text in texts for part in ("--model-args", text)]
    code, _, errors = run("train", *FLAGS, *flags)
    assert code == 2
    assert words in errors
    assert errors.count("\n") == 1
