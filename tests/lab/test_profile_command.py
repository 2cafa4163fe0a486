"""``ldb profile``: what it prints and writes, and what it says of bad input."""

import json

import pytest

from layerdropback.lab.profiling import saving
from layerdropback.lab.profiling.bench import Bench
from pages import Checked

TINY = ["--model", "test_resnet", "--image-size", "32", "--batch-size", "4", "--threads", "1"]


@pytest.mark.parametrize(
    ("more", "strategies"),
    [
        (["--strategies", "branch"], ("branch",)),
        pytest.param([], ("uniform", "truncate", "branch"), marks=pytest.mark.slow),
    ],
)
def test_the_command_shows_everything_and_writes_a_page(
    run, tmp_path, monkeypatch, more, strategies
):
    monkeypatch.setattr(saving, "UNTIMED_PAIRS", saving.MEMORY_PAIRS)  # no time of it is looked at
    flags = ["--pairs", "3", "--rates", "0.75", "--unit", "block", "--classes", "7", *more]
    code, output, errors = run("profile", *TINY, *flags, "--out", "page")
    assert (code, errors) == (0, "")
    for words in (
        "backward, weights",
        "| block",
        *(f"| {strategy} 0.75 " for strategy in strategies),
        "n = 5 pairs",  # a whole turn through the masks
    ):
        assert words in output
    assert "test_resnet would gain most" in output or "No gain to be expected" in output
    assert output.splitlines()[-1] == "the page is page/profile.html"
    record = json.loads((tmp_path / "page" / "profile.json").read_text())
    assert record["about"]["image_size"] == 32
    assert record["about"]["classes"] == 7
    assert record["command"].startswith("ldb profile --model test_resnet")
    found = [(s["setting"]["strategy"], s["setting"]["drop_rate"]) for s in record["savings"]]
    assert found == [(name, 0.75) for name in strategies]
    text = (tmp_path / "page" / "profile.html").read_text()
    assert text.count("<svg") == 3
    page = Checked(text)
    assert page.parts[:4] == ["h1", "verdict", "h2", "table"]
    assert page.parts.count("details") == len(page.tables), "all tables but the first, and settings"
    assert f"| {strategies[0]} 0.75 " in (tmp_path / "page" / "profile.md").read_text()


@pytest.mark.slow
def test_ctrl_c_keeps_what_there_is(run, tmp_path, monkeypatch):
    from layerdropback.lab.profiling import profile as module

    real = module.saving_of

    def interrupted(strategy, *arguments):
        if strategy.rate > 0.25:
            raise KeyboardInterrupt
        return real(strategy, *arguments)

    monkeypatch.setattr(module, "saving_of", interrupted)
    code, output, _ = run("profile", *TINY, "--pairs", "3", "--out", "page")
    assert code == 130
    assert "| uniform 0.25 " in output
    assert "uniform 0.5 " not in output
    record = json.loads((tmp_path / "page" / "profile.json").read_text())
    assert len(record["savings"]) == 1


@pytest.mark.slow
def test_models_have_sizes_of_their_own(run):
    code, output, _ = run("profile", "--model", "test_vit", "--batch-size", "2", "--pairs", "3")
    assert code == 0
    assert "2 images of 160x160 pixels" in output


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--rates", "0.5,x"], "--rates 0.5,x is not usable. Cause: numbers with commas"),
        (["--rates", "1"], "--rates 1 is not usable. Cause: drop rates in (0, 1) are needed"),
        (["--strategies", "none"], "--strategies none is not usable. Cause: it is one of uniform"),
        (["--pairs", "1"], "--pairs 1 is not usable. Cause: a whole number from 3"),
        (["--classes", "1"], "--classes 1 is not usable"),
        (["--model", "resnet5000"], "--model resnet5000 is unknown"),
        (["--unit", "atom"], "--unit 'atom' is not usable"),
        (["--keep", "nowhere"], "nowhere"),
        (["--compile", "blocks"], "--compile blocks is not usable with --unit layer"),
        (["--optimizer", "sgdx", "--lr", "1"], "--optimizer sgdx is unknown"),
        (["--drop-rate", "0.5"], "No such option"),
    ],
)
def test_bad_input_is_one_line(run, flags, words):
    code, _, errors = run("profile", *TINY, *flags)
    assert code == 2
    assert errors.count("\n") == 1
    assert words in errors


def test_a_folder_with_something_in_it_is_not_written_over(run, tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "mine.txt").write_text("mine")
    code, _, errors = run("profile", *TINY, "--out", "page")
    assert code == 2
    assert "--out page is not empty" in errors


def test_running_out_of_memory_is_told(run, monkeypatch):
    def fails(bench):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Bench, "step", fails)
    code, _, errors = run("profile", *TINY)
    assert code == 2
    assert "--batch-size 4 images of 32 pixels do not fit" in errors
    assert "use a smaller --batch-size" in errors
