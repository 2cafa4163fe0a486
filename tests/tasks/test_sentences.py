"""Sentences: read, put into batches, and fine-tuned in several ways."""

import copy

import pytest
import torch

from layerdropback import UsageError
from layerdropback.lab import Arm, compare
from layerdropback.lab.turns import Player
from layerdropback.tasks.sentence_data import Batches, Sentences, read_sentences
from layerdropback.tasks.sentence_settings import SentenceSettings
from layerdropback.tasks.sentence_ways import Way
from layerdropback.tasks.sentences import SentenceTask
from tiny_language import make_folder, make_sentences

HALF = {"strategy": "truncate", "drop_rate": 0.5, "every": 1, "start": 0}
BLOCKS = {"strategy": "blocks", "active_blocks": 1, "period_steps": 2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    where = tmp_path_factory.mktemp("language")
    return make_folder(where / "model"), make_sentences(where / "data")


@pytest.fixture(scope="module")
def task(folders):
    model, data = folders
    return SentenceTask.load(
        SentenceSettings(str(model), str(data), epochs=2, lr=0.01, batch_size=8)
    )


def run_of(task, way, epochs=2, state=None):
    return Player(Arm("an arm", way, epochs, 0.01), 3, task, state)


def test_a_batch_has_sentences_of_similar_length_and_every_sentence_comes_once():
    tokens = [[n] * (1 + n % 7) for n in range(1, 60)]
    batches = Batches(Sentences(tokens, [0] * 59), 8, pad=0, seed=4)
    found = list(batches.epoch(0))
    assert len(found) == len(batches) == 8
    seen = sorted(int(row[0]) for inputs, _ in found for row in inputs["input_ids"])
    assert seen == list(range(1, 60))
    spread = [inputs["attention_mask"].sum(1) for inputs, _ in found]
    assert all(int(lengths.max() - lengths.min()) <= 1 for lengths in spread)
    for inputs, _ in found:
        assert torch.equal(inputs["attention_mask"], (inputs["input_ids"] != 0).long())


def test_the_order_is_a_function_of_seed_and_epoch():
    split = Sentences([[n] for n in range(40)], list(range(40)))

    def order(seed, epoch, skip=0):
        batches = Batches(split, 8, pad=0, seed=seed).epoch(epoch, skip)
        return [labels.tolist() for _, labels in batches]

    before = torch.get_rng_state()
    assert order(1, 0) == order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    assert order(1, 1, skip=2) == order(1, 1)[2:]
    assert torch.equal(before, torch.get_rng_state())


def test_spare_sentences_are_held_out_where_there_are_enough(folders):
    model, data = map(str, folders)
    task = SentenceTask.load(SentenceSettings(model, data, limit_train=40, limit_test=20))
    assert (task.train, task.test) == (40, 20)
    held = task.held_out()
    assert (held.train, held.test) == (40, 24)
    few = SentenceTask.load(SentenceSettings(model, data)).held_out()
    assert (few.train, few.test) == (58, 6)


def test_a_rare_label_stays_in_training(folders):
    """Evenly over the labels, a rare one's sentences would all be held out."""
    model, data = map(str, folders)
    task = SentenceTask.load(SentenceSettings(model, data))
    rare = Sentences(task.splits[0].tokens, [int(n < 4) for n in range(64)])
    none = Sentences([], [])
    held = SentenceTask(task.chosen, (rare, rare, none), 2, 0).held_out()
    assert sum(held.splits[0].labels) >= 2
    assert not set(map(tuple, held.splits[0].tokens)) >= set(map(tuple, rare.tokens))


def test_marks_tabs_and_other_ends_of_lines_are_no_part_of_a_label(tmp_path):
    text = "\ufeffpos\ta good film\r\nneg a bad\u2028 play,\x85 too\n\n  pos  fine \n"
    for name in ("train.txt", "test.txt"):
        (tmp_path / name).write_bytes(text.encode())
    pairs = read_sentences(str(tmp_path))[0]
    assert [label for label, _ in pairs] == ["pos", "neg", "pos"]
    assert pairs[0] == ("pos", "a good film")
    assert pairs[1][1].endswith("too")


@pytest.mark.parametrize(
    ("values", "trained"),
    [
        ({}, 1.0),
        ({"freeze": ["bert.embeddings.*"]}, 0.9),
        ({"lora": 2}, 0.2),
        ({"lora": 2, **HALF}, 0.2),
    ],
)
def test_ways_train_what_they_say(task, values, trained):
    torch.manual_seed(0)
    run = task.start(task.way(values), 0, 2, 0.01)
    parameters = list(run.model.parameters())
    share = sum(p.numel() for p in parameters if p.requires_grad) / sum(
        p.numel() for p in parameters
    )
    assert 0 < share <= trained
    before = {name: value.clone() for name, value in run.model.named_parameters()}
    losses = [float(loss.detach()) for loss in run.train(0)]
    assert len(losses) == run.steps_in(0) == 8
    frozen = {name for name, p in run.model.named_parameters() if torch.equal(p, before[name])}
    assert frozen >= {name for name, p in run.model.named_parameters() if not p.requires_grad}
    assert len(frozen) < len(before)


@pytest.mark.parametrize("values", [{}, HALF, BLOCKS, {"lora": 2}], ids=str)
def test_a_run_goes_on_within_an_epoch_bit_for_bit(task, values):
    class Stop(Exception):
        pass

    steps, saved = [], {}

    def stop():
        steps.append(None)
        if len(steps) == 11:  # saved in its turn, as a comparison that is stopped does
            saved.update(copy.deepcopy(stopped.state_dict()))
            raise Stop

    way = task.way(values)
    whole, stopped = run_of(task, way), run_of(task, way)
    assert any(isinstance(m, torch.nn.Dropout) and m.p for m in stopped.run.model.modules())
    stopped.turn(stop)
    with pytest.raises(Stop):
        stopped.turn(stop)
    other = run_of(task, way, state=saved)
    other.turn()
    rows = [whole.turn() for _ in range(2)]
    for name, value in other.run.model.state_dict().items():
        assert torch.equal(value, whole.run.model.state_dict()[name]), name
    assert [row | {"seconds": 0} for row in other.history] == [row | {"seconds": 0} for row in rows]


@pytest.mark.parametrize(
    "pace", [{"every": 1, "start": 0}, {"every": 1, "start": 0, "period_steps": 2}]
)
def test_a_drop_rate_that_changes_over_the_run(task, pace):
    """The length that a ramp refers to is the run's, which no arm names."""
    way = Way.of({"strategy": "truncate", "drop_rate": 0.5, "ramp": "falling", **pace})
    assert way.says.endswith("falling")
    run = run_of(task, way).run
    assert run.ldb.settings.schedule.length == (16 if "period_steps" in pace else 2)
    assert sum(1 for _ in run.train(0)) == 8


def test_the_rate_rises_and_falls_to_nothing_at_the_runs_end(task):
    run = task.start(None, 0, 1.5, 0.01)
    rates = []
    for epoch in (0, 1):
        for _, _loss in zip(range(run.steps_in(epoch)), run.train(epoch), strict=False):
            rates.append(run.optimizer.param_groups[0]["lr"])
    assert len(rates) == 12
    assert max(rates) == pytest.approx(0.01, rel=0.2)
    assert rates[-1] < 0.2 * max(rates)


@pytest.mark.usefixtures("known_times", "no_drawings")
def test_a_comparison_of_sentences(task, tmp_path):
    ways = {"plain": None, "half": task.way(HALF), "lora": Arm("", task.way({"lora": 2}), 1, 0.02)}
    record = compare(task, ways, seeds=1, out=tmp_path / "lab")
    assert record.names() == ["plain", "half", "lora", "plain@half", "plain@lora"]
    says = {arm["name"]: arm["says"] for arm in record.arms}
    assert says["plain"] == "plain training"
    assert says["half"] == "truncate, unit layer, share 0.5 (fixed)"
    assert says["lora"] == "LoRA, rank 2, on query and value"
    assert record.identity["training_sentences"] == task.splits[0].fingerprint()
    assert record.arms[1]["settings"]["strategy"] == "truncate"


def write(folder, train="a b\n", test="a b\n"):
    folder.mkdir(exist_ok=True)
    (folder / "train.txt").write_text(train)
    (folder / "test.txt").write_text(test)
    return str(folder)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"train": "pos good\n\npos\n"}, "line 3 has no label and text with a space between them"),
        ({"test": "\n"}, "test.txt is not usable. Cause: it has no lines."),
    ],
)
def test_what_is_wrong_with_the_sentences_is_said(tmp_path, files, words):
    with pytest.raises(UsageError) as error:
        read_sentences(write(tmp_path / "data", **files))
    assert words in str(error.value)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot read .*train.txt. Cause: .*No such file"):
        read_sentences(str(tmp_path))


def test_a_label_that_training_does_not_have(folders, tmp_path):
    data = write(tmp_path / "data", train="pos good\nneg bad\n", test="odd fine\n")
    with pytest.raises(UsageError, match="the label 'odd' is not known. Cause: training has neg, "):
        SentenceTask.load(SentenceSettings(str(folders[0]), data))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lorra": 2}, "an arm sets 'lorra'. Cause: an arm of sentences has freeze, lora, "),
        ({"lora": -1}, "lora=-1 is not usable. Cause: a rank from 0 on is needed."),
        ({"lora": True}, "lora=True is not usable."),
        ({"freeze": "bert.*"}, "freeze='bert.*' is not usable. Cause: names are needed."),
        ({"optimizer": "adam"}, "optimizer='adam' is unknown."),
        ({"strategy": "uniform", "batch_scale": 2}, "batch_scale is not usable with sentences."),
        (
            {"strategy": "uniform", "depth": "power"},
            "--depth is not usable with --strategy uniform",
        ),
    ],
)
def test_what_is_wrong_with_a_way_is_said(values, words):
    with pytest.raises(UsageError) as error:
        Way.of(values)
    assert words in str(error.value)


def test_patterns_and_targets_must_name_something(task):
    with pytest.raises(UsageError, match="freeze='nothing.*' matches no parameter"):
        task.start(Way(freeze=("nothing.*",)), 0, 1, 0.1)
    with pytest.raises(UsageError, match="targets=nothing is not usable. Cause: .*target_modules"):
        task.start(Way(lora=2, targets=("nothing",)), 0, 1, 0.1)


@pytest.mark.parametrize("value", [{"epochs": 0}, {"lr": -1}, {"precision": "int8"}])
def test_settings_that_make_no_sense(value):
    (name,) = value
    with pytest.raises(UsageError, match=f"{name}=.* is not usable"):
        SentenceSettings("model", "data", **value)


def test_a_model_that_is_not_there(tmp_path, folders):
    with pytest.raises(UsageError, match="model=.*/none cannot be loaded"):
        SentenceTask.load(SentenceSettings(str(tmp_path / "none"), str(folders[1])))
