"""The benchmarks of the paper's families and of the stem's cut: their networks, runs and cards."""

from dataclasses import replace

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.common.card_files import read as read_card
from benchmarks.common.card_files import tables
from benchmarks.images import families, families_card, small_rows, small_runs, stem, stem_card
from benchmarks.images.small_runs import Done
from folders import make_folder
from layerdropback import PRESETS, LayerDropBack, Schedule, Truncate
from layerdropback.errors import UsageError
from layerdropback.lab.record import Record
from layerdropback.runs.stopping import Stopped

NETWORKS = {"vit", "swin", "efficientnet", "dla", "resnet", "densenet"}
FACTS = {
    "versions": {"torch": "2", "timm": "1", "layerdropback": "0", "commit": "c"},
    "hardware": {"device": "A CPU", "threads": 2},
}


def made_up(method, epochs, seeds=3):
    """A record of four arms.

    Args:
        method: its name.
        epochs: for each role the seconds and the mode of each epoch of ten steps, and the points
            above plain training.
    """
    names = {
        "plain": "plain",
        "method": method,
        "no-drop": f"no-drop@{method}",
        "same time": f"plain@{method}",
    }
    own = {"epochs": 4, "model_args": ["a=1"], "stem": "auto", "model": "m"}
    own |= {"optimizer": "sgd", "batch_size": 8}
    arms = [
        {"name": names[role], "role": role, "says": "", "settings": own}
        | {"of": method if role in ("no-drop", "same time") else None}
        for role in epochs
    ]
    rows = [
        {"arm": names[role], "seed": seed, "epoch": number + 1, "mode": mode, "steps": 10}
        | {"seconds": seconds, "test_accuracy": 60.0 + seed + points}
        | ({"backward_saved": 0.2 if mode == "drop" else 0.0} if role == "method" else {})
        for role, (spent, points) in epochs.items()
        for seed in range(seeds)
        for number, (seconds, mode) in enumerate(spent)
    ]
    data = {"name": "made up", "train": 80, "test": 100}
    return Record("", FACTS, data, own, {}, arms, list(range(seeds)), 0.5, epochs=rows)


def four(seconds, other=10.0, mode="drop"):
    """Three full epochs, and the third of another time."""
    return [(seconds, "full"), (seconds, "full"), (other, mode), (seconds, "full")]


SPENT = {
    "plain": (four(10.0, mode="full"), 0.0),
    "method": (four(10.0, 8.0), 1.0),
    "no-drop": (four(10.0, 9.0), -2.0),
    "same time": (four(9.5, 9.5, "full"), 0.5),
}


def row_of(text):
    """Of the main table, the row under its head."""
    head, row = tables(text)[0]
    return dict(zip(head, row, strict=True))


def test_the_card_of_the_families_has_the_record_s_numbers():
    full = {"forward": 100, "backward": 200, "weights": 90}
    drop = {"forward": 100, "backward": 150, "weights": 40}
    done = Done(made_up("batch x1", SPENT), {"full": full, "drop": drop})
    text = families_card.card_of("the command", {"vit": done})
    assert row_of(text) == {
        "family": "vit",
        "in drop epochs": "batch x1",
        "n": "3",
        "time, of plain's": "0.950 [0.950, 0.950]",
        # A difference that is the same for all seeds is believed to one test image.
        "points, same time": "+0.50 [-1.98, +2.98]",
        "points, all of plain's time": "+1.00 [-1.48, +3.48]",
        "no-drop control, points": "-2.00 [-4.48, +0.48]",
        "no-drop control, time of plain's": "0.975 [0.975, 0.975]",
        "of backward FLOPs saved, %": "6.2",  # a quarter of its 200, in one of four epochs
        "of all FLOPs saved, %": "4.2",
        "verdict": "not enough seeds",
    }
    assert "claims 16.93 % less" in text
    assert "23.3 % from scratch" in text
    assert "**batch x1** takes 95.0 % of plain training's time" in text
    assert "nothing dropped take 97.5 % of it" in text
    assert "Of that control's time the method takes 97.4 %" in text
    assert "of a run's FLOPs 95.8 % are left" in text
    assert "30.0 % of a step's FLOPs are for gradients of weights" in text
    assert "in 25.0 % of the epochs" in text
    assert "Not finished" not in text
    text = families_card.card_of("the command", {"vit": done}, ("vit", "swin", "dla"))
    assert "accuracy kept or better. Not finished, and not on this card: swin, dla." in text


def test_the_card_of_the_stem_has_the_record_s_numbers():
    cut = {"chances": {"stem.0": 1.0, "block.0": 0.25}, "beyond": ["block.0"], "summary": ""}
    spent = {role: SPENT[role] for role in ("plain", "method", "same time")}
    record = made_up("0.05, every step", spent)
    text = stem_card.card_of("the command", {"resnet": Done(record, {"0.05": cut})})
    row = row_of(text)
    assert row["network"] == "resnet"
    assert row["cut"] == "0.05, every step"
    assert row["time, of plain's"] == "0.950 [0.950, 0.950]"
    assert row["points, all of plain's time"] == "+1.00 [-1.48, +3.48]"
    assert row["of backward FLOPs saved, %"] == "5.0"
    assert "| resnet  | 0.05 | stem.0 " in text
    assert "block.0: 0.25" in text
    assert "Of 1 cut none is shown to gain. No gain: 0. Neither is shown: 1." in text


def test_a_card_names_each_machine_once_with_all_commits():
    done = {name: Done(made_up("m", SPENT), {}) for name in ("a", "b", "c")}
    done["b"].record.facts = FACTS | {"versions": FACTS["versions"] | {"commit": "d"}}
    alike = "A CPU, 2 CPU threads; torch 2, timm 1, layerdropback 0, commit"
    assert small_rows.machine_of(done) == f"{alike} c, d."
    done["c"].record.facts = FACTS | {"hardware": {"device": "Another", "threads": 2}}
    assert small_rows.machine_of(done) == f"{alike} c, d. {alike.replace('A CPU', 'Another')} c."


def test_a_card_says_which_seeds_have_not_run():
    done = {name: Done(made_up("m", SPENT), {}) for name in ("a", "b")}
    assert small_rows.how_to_read(done).endswith("(Holm).")
    done["b"].record.seeds.append(3)
    text = small_rows.how_to_read(done)
    assert text.endswith("(Holm). Not all planned seeds have run yet: b has 3 of 4.")


def test_a_card_says_what_chose_the_learning_rates():
    record = made_up("m", SPENT)
    record.tuned = {"plain": 0.1, "0.05, every step": 0.05}
    record.trials = [{"arm": "plain", "lr": lr, "seed": s} for lr in (0.1, 0.05) for s in (7, 8)]
    other = made_up("m", SPENT)
    other.tuned = {"plain": 0.2}
    text = small_rows.tuned_rates({"vit": Done(record, {}), "dla": Done(other, {})})
    assert "(runs of each rate: 0, 2):" in text
    head, *rows = tables(text)[0]
    assert head == ["arm", "vit", "dla"]
    assert rows == [["plain", "0.1", "0.2"], ["0.05, every step", "0.05", ""]]


@pytest.mark.parametrize("name", ["families", "stem"])
def test_a_run_that_is_stopped_early_writes_no_card_and_says_how_to_go_on(
    name, tmp_path, monkeypatch, capsys
):
    def stops(args, study, network, work):
        raise Stopped(15)

    monkeypatch.setattr(small_runs, "compare", stops)
    flags = ["--data", "folder:none", "--out", str(tmp_path / "card"), "--work", str(tmp_path)]
    with pytest.raises(SystemExit) as stopped:
        main([name, *flags])
    assert stopped.value.code == 143
    output = capsys.readouterr().out
    assert "no card is written" in output
    assert f"go on with: python -m benchmarks {name} --data folder:none" in output
    assert not (tmp_path / "card.md").exists()


def test_the_families_are_the_paper_s_and_their_methods_the_preset():
    assert families.NETWORKS.keys() == NETWORKS
    one, two = families.methods(9).values()
    assert one.settings().strategy == PRESETS["paper-scratch"].strategy
    made = [method.settings(length=9) for method in (one, two)]
    assert [each.batch_scale for each in made] == [1, 2]
    for each in made:
        assert (each.lr_scale, each.strategy.unit) == (2.0, "tensor")
        assert [epoch for epoch in range(9) if each.is_drop_epoch(epoch)] == [2, 4, 6, 8]


def test_the_cuts_begin_where_they_say():
    methods = stem.methods(8)
    assert len(methods) == 9
    for name, method in methods.items():
        made = method.settings(length=8)
        share, _, when = name.partition(", ")
        assert made.strategy == Truncate(float(share), depth="fixed")
        assert (made.schedule.every, made.lr_scale) == (1, 1)
        first = next(epoch for epoch in range(8) if made.is_drop_epoch(epoch))
        assert first == {"every step": 0, "from 1/4 on": 2, "from 1/2 on": 4}[when]
    with pytest.raises(UsageError, match="give 4, 8, 12"):
        stem.methods(6)


def test_each_method_has_its_controls():
    config = families.NETWORKS["resnet"].config(epochs=9)
    arms = small_runs.arms_of(config, families.methods(9))
    assert [(arm.role, arm.of) for arm in arms] == [
        ("plain", None),
        *[("method", None)] * 2,
        *[("no-drop", "batch x1"), ("no-drop", "batch x2")],
        *[("same time", "batch x1"), ("same time", "batch x2")],
    ]
    config = stem.NETWORKS["resnet"].config(epochs=8)
    roles = [arm.role for arm in small_runs.arms_of(config, stem.methods(8))]
    assert roles == ["plain", *["method"] * 9, *["same time"] * 9]


NAMED = [
    *((families.NETWORKS[name], families.PRESET.strategy) for name in families.NETWORKS),
    *((network, Truncate(0.1, depth="fixed")) for network in stem.NETWORKS.values()),
]


@pytest.mark.parametrize(("network", "strategy"), NAMED, ids=lambda each: getattr(each, "name", ""))
def test_every_network_trains_with_what_is_dropped(network, strategy):
    torch.manual_seed(0)
    model = network.build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    ldb = LayerDropBack(model, optimizer, strategy, Schedule(every=1, start=0))
    with ldb.epoch(None, 0):
        for _ in range(2):
            model(torch.randn(4, 3, 32, 32)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert ldb.stats()["drop_steps"] > 0
    assert sum(ldb.stats()["times_dropped"].values()) > 0


@pytest.mark.parametrize("name", stem.NETWORKS)
def test_the_smallest_cut_leaves_out_the_stem_alone(name):
    found = stem.chances(stem.NETWORKS[name], 0.05)
    assert found["beyond"] == []
    assert max(found["chances"].values()) == 1
    assert "above every cut" in found["summary"]


TINY = ["--limit-train", "48", "--limit-test", "20", "--batch-size", "8", "--seeds", "1"]
NARROW = ("stem_width=4", "channels=[4, 4, 4, 4]")


def tiny(folder, *more):
    """The flags of a run of seconds."""
    data = make_folder(folder / "data", tuple("abcdefghij"), train=12, test=2, size=(32, 32))
    return ["--data", f"folder:{data}", "--out", str(folder / "card"), *TINY, *more]


@pytest.fixture
def tiny_resnets(monkeypatch):
    """Of made-up images no learning rate is the best: the second does."""
    from layerdropback.lab import tuning

    monkeypatch.setattr(tuning.Tuning, "best", lambda self, arm, trials: self._grid[1])
    for networks in (families.NETWORKS, stem.NETWORKS):
        of = networks["resnet"]
        narrow = {**of.settings, "model_args": NARROW, "stem": "original"}
        few = replace(of, settings=narrow, rates=of.rates[:3])
        monkeypatch.setitem(networks, "resnet", few)


@pytest.mark.slow
def test_the_families_run_and_go_on(tmp_path, capsys, monkeypatch, short_pilot, tiny_resnets):
    monkeypatch.chdir(tmp_path)
    flags = [*tiny(tmp_path, "--epochs", "3"), "--family", "resnet"]
    main(["families", *flags])
    record = read_card(tmp_path / "card")
    assert list(record["networks"]) == ["resnet"]
    found = record["networks"]["resnet"]["record"]
    assert set(found["tuned"]) == {arm["name"] for arm in found["arms"]}
    assert len(tables((tmp_path / "card.md").read_text())[0]) == 3
    main(["families", *flags])
    again = read_card(tmp_path / "card")["networks"]["resnet"]["record"]
    assert again["epochs"] == found["epochs"], "what is done is not made again"
    assert "resumed: 1 seeds are done" in capsys.readouterr().out


@pytest.mark.slow
def test_the_stem_runs(tmp_path, capsys, monkeypatch, short_pilot, tiny_resnets):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stem, "SHARES", (0.1,))
    monkeypatch.setattr(stem, "QUARTERS", {2: "from 1/2 on"})
    main(["stem", *tiny(tmp_path, "--epochs", "4"), "--network", "resnet"])
    text = (tmp_path / "card.md").read_text()
    assert len(tables(text)[0]) == 2
    found = read_card(tmp_path / "card")["networks"]["resnet"]
    assert found["counted"]["0.1"]["chances"]
    drops = [row for row in found["record"]["epochs"] if row["mode"] == "drop"]
    assert {row["backward_saved"] > 0 for row in drops} == {True}


def test_a_comparison_that_fails_leaves_the_others_and_is_named(tmp_path, monkeypatch, capsys):
    def fails(args, study, name, work):
        raise UsageError(f"{name} has no data")

    monkeypatch.setattr(small_runs, "compare", fails)
    flags = ["--data", "folder:none", "--out", str(tmp_path / "card"), "--work", str(tmp_path)]
    with pytest.raises(SystemExit, match="resnet: resnet has no data\nconvnext: convnext has no"):
        main(["stem", *flags])
