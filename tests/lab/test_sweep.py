"""Sweeps: made-up ones whose front is known, and real ones."""

import json
from dataclasses import asdict

import pytest

import small_models  # noqa: F401 - registers the model
from layerdropback import UsageError
from layerdropback.lab.arms import PLAIN
from layerdropback.lab.record import Record
from layerdropback.lab.sweep import COLUMNS, points, sweep_lines
from layerdropback.lab.tables import rows_of
from layerdropback.tasks.sweeping import sweep_arms
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import Dropping
from pages import Checked

TINY = ["--model", "test_resnet", "--limit-train", "96", "--limit-test", "40", "--no-flip"]
TINY += ["--batch-size", "16", "--epochs", "4"]


def made_up(methods, seeds=(0, 1, 2), noise=(0.0, 0.1, -0.1)):
    """Plain training of 10, 7.5 and 5 s with 90, 88 and 84 %, and methods of (seconds, accuracy).

    Each seed has a noise of its own, the same for all arms.
    """
    runs = {PLAIN: (10.0, 90.0), "plain 0.75": (7.5, 88.0), "plain 0.5": (5.0, 84.0), **methods}
    arms = [
        {
            "name": name,
            "role": {PLAIN: "plain"}.get(name, "shorter" if "plain" in name else "method"),
            "of": None,
            "says": name,
            "settings": {"epochs": 1, "strategy": "uniform", "every": 2, "drop_rate": 0.5},
        }
        for name in runs
    ]
    epochs = [
        {
            "arm": name,
            "seed": seed,
            "epoch": 1,
            "mode": "full",
            "steps": 10,
            "seconds": seconds,
            "test_accuracy": accuracy + noise[number],
        }
        for name, (seconds, accuracy) in runs.items()
        for number, seed in enumerate(seeds)
    ]
    return Record(
        "ldb sweep", {}, {"test": 1000}, {}, {}, arms, list(seeds), 0.5, "sweep", epochs=epochs
    )


def found(record):
    return {point.name: point for point in points(record)}


def test_plain_trainings_own_front_is_what_counts():
    below, between = 75**0.5, 37.5**0.5  # in the middle of two plain runs, by a clock of doublings
    record = made_up({"above": (7.5, 88.5), "below": (below, 88.5), "between": (between, 86.0)})
    by_name = found(record)
    assert by_name["above"].over_plain.mean == pytest.approx(0.5)
    assert by_name["below"].over_plain.mean == pytest.approx(-0.5)  # plain has 89 % by then
    assert by_name["between"].over_plain.mean == pytest.approx(0.0)
    assert by_name["above"].shown
    assert not by_name["below"].shown
    assert not by_name["between"].shown
    assert by_name[PLAIN].over_plain is None
    assert by_name["above"].time == pytest.approx(0.75)


def test_the_pareto_front_is_of_all_arms():
    record = made_up({"fast": (4.0, 80.0), "above": (7.5, 88.5), "worse": (7.6, 88.4)})
    on = {name for name, point in found(record).items() if point.on_front}
    assert on == {"fast", "plain 0.5", "above", PLAIN}
    assert [row[0] for row in rows_of(COLUMNS, points(record))] == [
        "fast",
        "plain 0.5",
        "plain 0.75",
        "above",
        "worse",
        PLAIN,
    ]


def test_equal_arms_are_both_on_the_front():
    by_name = found(made_up({"a": (6.0, 89.0), "b": (6.0, 89.0)}))
    assert by_name["a"].on_front
    assert by_name["b"].on_front


def test_what_is_slower_than_plain_training_is_no_gain():
    """It was held against less training than it had time for."""
    record = made_up({"slow": (12.0, 91.0)})
    assert found(record)["slow"].over_plain.mean == pytest.approx(1.0)
    assert not found(record)["slow"].shown
    assert sweep_lines(record)[0].startswith("no gain shown: none of the 1 settings")


def test_what_is_faster_than_all_plain_runs_is_held_against_the_shortest():
    assert found(made_up({"fast": (4.0, 83.0)}))["fast"].over_plain.mean == pytest.approx(-1.0)


def test_one_seed_shows_nothing():
    record = made_up({"above": (7.5, 95.0)}, seeds=(0,))
    assert not found(record)["above"].shown
    assert "n = 1 seed;" in sweep_lines(record)[-1]


def test_more_settings_need_more_evidence():
    """Holm: what one setting shows by itself is not shown by the best of many."""
    noise = (0.9, 0.0, -0.5)

    def shown(others):
        record = made_up({f"m{i}": (7.5, 88.0) for i in range(others)} | {"best": (7.5, 88.6)})
        for row in record.epochs:
            if row["arm"] == "best":
                row["test_accuracy"] += 0.25 * noise[row["seed"]]
        return found(record)["best"].shown

    assert shown(0)
    assert not shown(40)


def test_every_way_to_drop_is_an_arm():
    config = TrainConfig(epochs=8, warmup_epochs=2.0)
    arms = sweep_arms(config, [0.25, 0.5], ["uniform"], [1, 2])
    assert [arm.name for arm in arms] == [
        "plain",
        "plain 0.75",
        "plain 0.5",
        "uniform 0.25 every 1",
        "uniform 0.25 every 2",
        "uniform 0.5 every 1",
        "uniform 0.5 every 2",
    ]
    assert arms[1].way.epochs == 6
    assert arms[1].way.warmup_epochs == 1.5
    assert not any(arm.way.drop_settings().ever_drops for arm in arms[:3])
    last = arms[-1].way.drop_settings()
    assert (last.strategy.rate, last.schedule.every) == (0.5, 2)
    assert all(arm.way.lr == config.lr for arm in arms)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (([0.5], ["cubic"], [2]), "--strategy 'cubic' is not usable"),
        (([1.5], [], [2]), "--drop-rate 1.5 is not usable"),
        (([0.0], [], [2]), "--rates 0 is not usable. Cause: it is plain training"),
        (([0.5], [], [1.5]), "--every 1.5 is not usable. Cause: epochs are counted"),
        (([0.5], [], [0]), "--every 0 is not usable"),
        (([0.5, 0.5], [], [2]), "uniform 0.5 every 2 comes twice"),
    ],
)
def test_what_makes_no_sweep_is_told(values, words):
    with pytest.raises(UsageError) as caught:
        sweep_arms(TrainConfig(), *values)
    assert words in str(caught.value)


def test_a_start_beyond_the_end_is_told():
    config = TrainConfig(epochs=3, dropping=Dropping(start=3))
    with pytest.raises(UsageError, match="--start 3 leaves no drop epoch"):
        sweep_arms(config, [0.5], [], [1])


def test_what_belongs_to_one_strategy_is_for_its_arms_alone():
    config = TrainConfig(epochs=3, dropping=Dropping(depth="power", unit="block"))
    arms = sweep_arms(config, [0.5], [], [1])
    given = {arm.name: arm.way.dropping.given for arm in arms if arm.role == "method"}
    assert {name for name in given if "depth" in given[name]} == {"truncate 0.5 every 1"}
    assert all(values["unit"] == "block" for values in given.values())
    with pytest.raises(UsageError, match="--depth is not usable here. Cause: it belongs to trunc"):
        sweep_arms(config, [0.5], ["uniform", "branch"], [1])


@pytest.mark.slow
def test_a_sweep_looks_at_held_out_training_images_alone(run, tmp_path, short_pilot):
    flags = ["--rates", "0.5", "--every", "1,2", "--strategies", "uniform,branch", "--seeds", "2"]
    flags += ["--out", "lab"]
    code, output, errors = run("sweep", *TINY, *flags)
    assert (code, errors) == (0, "")
    record = json.loads((tmp_path / "lab" / "comparison.json").read_text())
    assert record["kind"] == "sweep"
    # Of the digits' 1,437 images 1,341 are left over, and half of them is for learning rates.
    assert record["data"]["train"] == 96
    assert record["data"]["test"] == 670
    assert "96 training and 670 held-out images" in output
    assert "| uniform 0.5 every 1 " in output
    assert "| plain 0.5 " in output
    assert "n = 2 seeds" in output
    assert "Accuracies are on 670 training images held out" in output
    counts = {arm["name"]: arm["settings"]["epochs"] for arm in record["arms"]}
    assert counts == {
        "plain": 4,
        "plain 0.75": 3,
        "plain 0.5": 2,
        "uniform 0.5 every 1": 4,
        "uniform 0.5 every 2": 4,
        "branch 0.5 every 1": 4,
        "branch 0.5 every 2": 4,
    }
    text = (tmp_path / "lab" / "report.html").read_text()
    assert "Pareto front" in text
    page = Checked(text)
    assert "over plain's front, points" in page.tables[0][0]
    assert page.parts[:5] == ["h1", "h2", "verdict", "p", "table"]
    assert text.count("<svg") == 5
    assert asdict(Record.read(tmp_path / "lab"))["kind"] == "sweep"


@pytest.mark.slow
def test_what_a_model_cannot_do_is_left_out_and_said(run, tmp_path, short_pilot):
    flags = ["--model", "narrow_vgg", *TINY[2:], "--image-size", "32", "--rates", "0.5"]
    flags += ["--every", "2", "--seeds", "1", "--epochs", "2"]
    code, output, errors = run("sweep", *flags, "--strategies", "uniform,branch", "--out", "lab")
    assert (code, errors) == (0, "")
    record = json.loads((tmp_path / "lab" / "comparison.json").read_text())
    assert [arm["name"] for arm in record["arms"] if arm["role"] == "method"] == [
        "uniform 0.5 every 2"
    ]
    assert "branch 0.5 every 2 is left out: VGG has no residual branch" in output
    code, _, errors = run("sweep", *flags, "--strategies", "branch", "--out", "none")
    assert code != 0
    assert "VGG has no residual branch" in errors


@pytest.mark.slow
def test_a_sweep_of_arms_alone(run, tmp_path, short_pilot):
    arms = ["--arm", "late:strategy=truncate,drop_rate=0.3,every=1,ramp=rising"]
    arms += ["--arm", "strategy=branch,drop_rate=0.4,anneal=0.5"]
    code, output, errors = run("sweep", *TINY, *arms, "--seeds", "1", "--out", "lab")
    assert (code, errors) == (0, "")
    record = json.loads((tmp_path / "lab" / "comparison.json").read_text())
    names = [arm["name"] for arm in record["arms"] if arm["role"] == "method"]
    assert names == ["late", "strategy=branch,drop_rate=0.4,anneal=0.5"]
    assert "| late " in output
    code, _, errors = run("sweep", *TINY, "--arm", "drop_rate=0", "--out", "other")
    assert code != 0
    assert "it is plain training" in errors


@pytest.mark.slow
def test_a_finished_sweep_can_be_gone_on_with_but_not_as_a_comparison(run, short_pilot):
    tiny = [*TINY, "--epochs", "2", "--seeds", "1", "--out", "lab"]
    flags = [*tiny, "--rates", "0.5", "--every", "2", "--resume"]
    assert run("sweep", *flags)[0] == 0
    code, output, _ = run("sweep", *flags)
    assert code == 0
    assert "resumed: 1 seeds are done" in output
    code, _, errors = run("compare", *tiny, "--resume")
    assert code == 2
    assert errors.count("\n") == 1


@pytest.mark.parametrize("flag", ["--drop-rate", "--strategy"])
def test_what_is_swept_is_not_set(run, flag):
    code, _, errors = run("sweep", *TINY, flag, "0.5")
    assert code == 2
    assert "No such option" in errors
