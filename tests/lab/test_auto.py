"""What --strategy auto chooses, and that it never is what the cards say loses."""

import json
import runpy
from pathlib import Path

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st

from layerdropback import UsageError
from layerdropback.lab import auto, known
from layerdropback.lab.known import Known
from layerdropback.lab.record import Record
from layerdropback.training.config import Dropping, TrainConfig

ROOT = Path(__file__).parents[2]
TINY = ["--model", "test_resnet", "--limit-train", "160", "--limit-test", "40"]
TINY += ["--batch-size", "16", "--epochs", "2", "--seeds", "1"]
TRUNCATE = {"strategy": "truncate", "drop_rate": 0.3, "every": 1, "start": 0, "lr_scale": 1.0}
BRANCH = TRUNCATE | {"strategy": "branch", "drop_rate": 0.5}
RESNET = TrainConfig(model="test_resnet", image_size=32)


def row(settings, points, verdict="screening", n=1, card="a-card", start="from scratch"):
    return Known(card, start, "convolutional", settings, points, n, verdict)


# ---- what is known -------------------------------------------------------------------------------


def test_what_is_known_is_what_the_cards_say():
    made = runpy.run_path(str(ROOT / "benchmarks" / "known.py"))["found"]()
    assert known.load() == made
    cards = {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.md")}
    assert {entry.card for entry in made} <= cards
    assert len(made) > 5


def test_a_cards_numbers_are_those_of_its_table():
    path = ROOT / "benchmarks" / "results" / "2026-11-23-evidence-tune-resnet-screen.json"
    record = Record.from_text(path.read_text())
    table = path.with_suffix(".md").read_text()
    for entry in known.from_record(path.stem, record, "convolutional"):
        assert (entry.start, entry.n, entry.verdict) == ("fine-tuning", 1, "screening")
        assert f"| {entry.points:+.2f}" in table
        assert set(entry.settings) <= set(vars(Dropping()))


def test_leads_in_uneven_time_count_by_plain_trainings_front_and_are_no_gain():
    """Sixteen seeds whose verdict was withheld: +0.80 over what took 0.89 of the time."""
    path = ROOT / "benchmarks" / "results" / "2026-11-23-evidence-tune-resnet-short-16.json"
    record = Record.from_text(path.read_text())
    planned = record.verdicts()["truncate.5-fixed"].against_equal
    assert planned.accuracy.mean == pytest.approx(0.80, abs=0.005)
    found = {entry.settings["drop_rate"]: entry for entry in known.from_record("", record, "")}
    assert found[0.5].verdict == "withheld"
    assert 0.3 < found[0.5].points < 0.4
    assert found[0.5].n == 16


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("resnet10t", "convolutional"),
        ("test_convnext", "convolutional"),
        ("test_efficientnet", "convolutional"),
        ("densenet121", "convolutional"),
        ("test_vit", "attention"),
        ("swin_tiny_patch4_window7_224", "attention"),
        ("beit_base_patch16_224", "attention"),
    ],
)
def test_families(name, family):
    with torch.device("meta"):
        assert known.family_of(timm.create_model(name)) == family


# ---- what is chosen ------------------------------------------------------------------------------

ROWS = st.lists(
    st.builds(
        row,
        st.sampled_from([TRUNCATE, BRANCH, TRUNCATE | {"drop_rate": 0.5}]),
        st.floats(-2, 2),
        st.sampled_from(["screening", "no gain", "better at equal time", "withheld"]),
        st.integers(1, 9),
    ),
    max_size=6,
)


@given(ROWS)
def test_no_loser_is_ever_chosen(rows):
    alike = {row.way: [other for other in rows if other.way == row.way] for row in rows}
    good = {
        way
        for way, same in alike.items()
        if sum(one.points * one.n for one in same) > 0
        and all(one.verdict != "no gain" for one in same)
    }
    assert {_way(way) for way in auto.ways(rows) if not way.loses} == good


def _way(way):
    return Known("", "", "", way.settings, 0.0, 1, "").way


def test_what_was_shown_to_gain_goes_before_a_greater_lead():
    rows = [row(BRANCH, 1.5), row(TRUNCATE, 0.4, "better at equal time", 5)]
    config, line = auto.choose(RESNET, rows)
    assert (config.dropping.strategy, config.dropping.drop_rate) == ("truncate", 0.3)
    assert config.dropping.every == 1
    assert "it ended +0.40 points from plain training of the same time (n = 5; shown to" in line
    config, line = auto.choose(RESNET, rows[:1])
    assert config.dropping.strategy == "branch"
    assert "(n = 1; a lead, not shown to gain; a-card)" in line


def test_a_lead_of_many_seeds_goes_before_a_little_more_from_one():
    rows = [row(BRANCH, 0.9), row(TRUNCATE, 0.7, n=4), row(TRUNCATE, 0.7, n=5)]
    assert auto.choose(RESNET, rows)[0].dropping.strategy == "truncate"
    assert auto.choose(RESNET, [row(BRANCH, 2.9), *rows[1:]])[0].dropping.strategy == "branch"


def test_what_was_chosen_is_what_the_rest_of_the_settings_stay():
    mine = TrainConfig(model="test_resnet", image_size=32, lr=0.3)
    mine = auto.choose(mine, [row(TRUNCATE, 0.4)])[0]
    assert mine.lr == 0.3
    assert vars(mine.dropping) == vars(Dropping()) | TRUNCATE


def test_what_spares_next_to_nothing_of_this_model_is_passed_over():
    rows = [row(TRUNCATE | {"drop_rate": 0.03}, 1.0), row(BRANCH, 0.1)]
    assert auto.choose(RESNET, rows)[0].dropping.strategy == "branch"
    with pytest.raises(UsageError, match=r"truncate.* would spare \d\.\d% of this model's FLOPs"):
        auto.choose(RESNET, rows[:1])


def test_a_model_without_branches_gets_another_way():
    vgg = TrainConfig(model="vgg11", image_size=32)
    rows = [row(BRANCH, 1.0), row(TRUNCATE, 0.1)]
    assert auto.choose(vgg, rows)[0].dropping.strategy == "truncate"
    with pytest.raises(UsageError, match="has no residual branch"):
        auto.choose(vgg, rows[:1])


def test_nothing_to_choose_is_told():
    rows = [row(TRUNCATE, -0.4, n=3), row(BRANCH, 2.0, "no gain")]
    problem = "finds nothing for test_resnet, from scratch. Cause: every way that was tried with"
    with pytest.raises(UsageError, match=problem):
        auto.choose(RESNET, rows)
    with pytest.raises(UsageError, match="nothing was measured with convolutional models, from"):
        auto.choose(RESNET, [row(TRUNCATE, 1.0, start="fine-tuning")])


# ---- on the command line -------------------------------------------------------------------------


def test_a_comparison_with_what_was_chosen(run, tmp_path, monkeypatch, short_pilot):
    monkeypatch.setattr(known, "load", lambda: [row(TRUNCATE, 0.4)])
    code, output, errors = run("compare", *TINY, "--strategy", "auto", "--out", "lab")
    assert (code, errors) == (0, "")
    assert "auto: strategy=truncate,drop_rate=0.3" in " ".join(output.split())
    record = json.loads((tmp_path / "lab" / "comparison.json").read_text())
    (method,) = [arm for arm in record["arms"] if arm["role"] == "method"]
    assert {name: method["settings"][name] for name in TRUNCATE} == TRUNCATE


def test_what_it_chooses_itself_cannot_be_given(run):
    code, _, errors = run("compare", *TINY, "--strategy", "auto", "--drop-rate", "0.4")
    assert code == 2
    assert "--drop-rate with --strategy auto is not usable. Cause: it chooses that itself" in errors
