"""Weights out of a run, and their test: the numbers are those of the run (issue 3)."""

import signal

import pytest
import timm
import torch
from safetensors.torch import load_file

from command import TINY, metrics_of, stop_after
from folders import make_folder
from layerdropback.training.export import read_metadata
from layerdropback.training.images.data import load_data

SMALL = ["--model", "test_resnet", "--limit-train", "96", "--limit-test", "20", "--batch-size", "8"]


def result(output):
    """The accuracy and the loss that ``ldb evaluate`` prints."""
    words = output.replace(",", "").split()
    return float(words[words.index("accuracy") + 1]), float(words[words.index("loss") + 1])


@pytest.mark.parametrize("more", [[], ["--ema", "0.8"], ["--channels-last"]], ids=str)
def test_evaluate_says_what_the_run_said(run, tmp_path, more):
    out = tmp_path / "run"
    assert run("train", *SMALL, "--epochs", 2, "--out", out, *more)[0] == 0
    last = metrics_of(out)[-1]
    for target in (out, out / "weights.safetensors"):
        code, output, errors = run("evaluate", target)
        assert (code, errors) == (0, "")
        assert "on 20 test images of digits" in output
        assert result(output) == (
            pytest.approx(last["test_accuracy"], abs=0.01),
            pytest.approx(last["test_loss"], abs=1e-3),
        )
    code, output, _ = run("evaluate", out, "--limit-test", 40)
    assert "on 40 test images" in output


def test_the_exported_model_is_timms_own(run, tmp_path):
    """An unmodified model's weights load with timm alone, and answer as well."""
    flags = ["--model", "test_resnet", "--stem", "original", "--image-size", 32]
    flags += ["--limit-train", 96, "--limit-test", 60, "--batch-size", 8, "--epochs", 2]
    out, file = tmp_path / "run", tmp_path / "model.safetensors"
    assert run("train", *flags, "--out", out)[0] == 0
    code, output, _ = run("export", out, "--to", file)
    assert code == 0
    assert f"wrote {file}: the finished run" in output
    plain = timm.create_model("test_resnet", num_classes=10, in_chans=1)
    plain.load_state_dict(load_file(file))
    notes = read_metadata(file)
    test = load_data("digits", limit_train=96, limit_test=60).test
    pixels = torch.nn.functional.interpolate(test.pixels / 255, size=32, mode="bilinear")
    mean, std = (torch.tensor(notes[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        guesses = plain.eval()((pixels - mean) / std).argmax(1)
    correct = 100 * (guesses == test.labels).double().mean().item()
    # Resizing bytes rounds: an image on the edge may fall to the other side.
    assert correct == pytest.approx(metrics_of(out)[-1]["test_accuracy"], abs=2)


def test_a_run_that_was_stopped_can_be_exported(run, tmp_path, monkeypatch):
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 14, signal.SIGTERM)
        assert run("train", *SMALL, "--epochs", 2, "--out", out)[0] == 143
    code, _, errors = run("evaluate", out)
    assert code == 2
    assert "the run is not finished" in errors
    code, output, _ = run("export", out, "--to", tmp_path / "half.safetensors")
    assert code == 0
    assert "after 1 whole epochs, 14 steps in all" in output
    assert read_metadata(tmp_path / "half.safetensors")["test_accuracy"] is None, "nobody knows"
    assert run("evaluate", tmp_path / "half.safetensors")[0] == 0


def test_what_cannot_be_exported_or_evaluated_is_told(run, tmp_path):
    (tmp_path / "empty").mkdir()
    assert run("train", *TINY, "--epochs", 1, "--out", tmp_path / "run")[0] == 0
    (tmp_path / "there").write_text("mine")
    weights = tmp_path / "run" / "weights.safetensors"
    make_folder(tmp_path / "images", size=(8, 8), mode="L")
    wrong = [
        (["export", "nowhere", "--to", "x"], "no run in nowhere"),
        (["export", tmp_path / "empty", "--to", "x"], "no run in"),
        (["export", tmp_path / "run", "--to", tmp_path / "there"], "is there already"),
        (["export", tmp_path / "run", "--to", "no/folder/x"], "there is no folder no/folder"),
        (["export", tmp_path / "run"], "Missing option"),
        (["evaluate", "nowhere"], "cannot read nowhere"),
        (["evaluate", tmp_path / "empty"], "has no weights.safetensors"),
        (["evaluate", tmp_path / "there"], "cannot read"),
        (["evaluate", weights, "--data", f"folder:{tmp_path / 'images'}"], "have 3 channels"),
        (["evaluate", weights, "--device", "gpu"], "--device gpu is not usable"),
        (["evaluate", weights, "--limit-test", 0], "--limit-test 0 is not usable"),
        (["evaluate", weights, "--threads", 0], "--threads 0 is not usable"),
        (["evaluate", weights, "--workers", -1], "--workers -1 is not usable"),
        (["evaluate", "~nobody-here/x"], "~nobody-here/x is not usable"),
        (["export", tmp_path / "run", "--to", tmp_path, "--overwrite"], "is a folder"),
        (["evaluate", weights, "--device", "cuda"], "--device cuda is not usable"),
    ]
    for arguments, message in wrong:
        code, _, errors = run(*arguments)
        assert code == 2, arguments
        assert errors.startswith("ldb: error: ")
        assert errors.count("\n") == 1
        assert message in errors
    assert (tmp_path / "there").read_text() == "mine"


def test_the_spelling_of_a_path_changes_no_number(run, tmp_path):
    """Images are cut as in training, whether they are named by the run, relatively or in whole."""
    make_folder(tmp_path / "images", size=(40, 30), train=8, test=6)
    flags = ["--model", "test_resnet", "--image-size", 24, "--epochs", 1, "--batch-size", 8]
    flags += ["--data", "folder:images", "--in-memory", "no", "--workers", 0]
    assert run("train", *flags, "--out", "run")[0] == 0
    results = {
        result(run("evaluate", "run", *more)[1])
        for more in ([], ["--data", "folder:images"], ["--data", f"folder:{tmp_path}/images"])
    }
    assert len(results) == 1
    assert results.pop()[1] == pytest.approx(
        metrics_of(tmp_path / "run")[-1]["test_loss"], abs=1e-3
    )
