"""Accelerate needs nothing but the class: the loop of its docs, in one process."""

import contextlib

import pytest
import torch
from accelerate import DataLoaderConfiguration

import recipes
from accelerated import LANGUAGE, MODELS, SAMPLES, WINDOW, accelerator, forget, loader_of, make
from attached import (
    assert_same_weights,
    dropped_names,
    dropping,
    each_strategy,
    flags,
    snapshot,
    unmoved,
)
from layerdropback import LayerDropBack, StateError
from twins import ALWAYS

STEPS = 4  # of an epoch: eleven batches in windows of three
NAMES = ("resnet", "vit", "tied_gpt", *LANGUAGE)
# In bfloat16 plain training of the ResNet gives nan on some CPUs, without this library too.
PRECISIONS = [*((name, "no") for name in NAMES), ("vit", "bf16"), ("gpt2", "bf16")]

QUICK = {("vit", "no"), ("lora", "no"), ("gpt2", "bf16")}

each_model = pytest.mark.parametrize(
    ("name", "precision"),
    [pytest.param(*pair, marks=[] if pair in QUICK else [pytest.mark.slow]) for pair in PRECISIONS],
)


def accumulating(**settings):
    return accelerator(gradient_accumulation_steps=WINDOW, **settings)


# ---- rate 0 --------------------------------------------------------------------------------------


@each_model
@pytest.mark.parametrize("attach", ["before", "after"])
def test_rate_0_is_the_plain_run_bit_for_bit(name, attach, precision):
    runs = []
    for strategy in (None, dropping("uniform", 0.0)):
        with accumulating(mixed_precision=precision) as prepares:
            run = make(prepares, name, strategy, attach, lr_scale=2.0)
            run.epochs([0, 1])
            runs.append(run)
    plain, mine = runs
    assert_same_weights(plain.model, mine.model)
    states = [snapshot(run.model, run.optimizer) for run in runs]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert len(plain.masks) == mine.ldb.stats()["step"] == 2 * STEPS


# ---- what is dropped -----------------------------------------------------------------------------


def by_hand(name, strategy, precision):
    """The same without Accelerate: the masks, and the model."""
    entry = MODELS[name]
    model = entry.model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5)
    ldb = LayerDropBack(model, optimizer, dropping(strategy), seed=4)
    masks = []
    for epoch in range(2):
        loader = loader_of(entry)
        batches = ldb.epoch(loader, epoch)
        for number, (inputs, labels) in enumerate(batches, 1):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                output = entry.select(model(inputs))
            loss = entry.loss(output.float(), labels)
            (loss / WINDOW).backward()
            if number % WINDOW == 0 or number == len(loader):
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                masks.append(None if ldb.mask is None else ldb.mask.tolist())
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
    return masks, model


@each_model
@each_strategy
def test_masks_and_weights_are_those_of_the_plain_loop(name, strategy, precision):
    expected, model = by_hand(name, strategy, precision)
    assert sum(mask is not None for mask in expected) == STEPS
    with accumulating(mixed_precision=precision) as prepares:
        run = make(prepares, name, strategy)
        for epoch in range(2):
            run.loader.generator.manual_seed(3)
            run.epochs([epoch])
    assert run.masks == expected
    assert_same_weights(run.model, model)


@each_strategy
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if (n, "no") in QUICK else [pytest.mark.slow]) for n in NAMES],
)
def test_only_kept_layers_move(name, strategy):
    with accumulating() as prepares:
        run = make(prepares, name, strategy, schedule=ALWAYS)
        frozen = {name for name, trains in flags(run.model).items() if not trains}
        dropped = 0
        for epoch in range(2):
            for batch in run.ldb.epoch(run.loader, epoch):
                before, names = snapshot(run.model, run.optimizer), dropped_names(run.ldb)
                steps = run.ldb.stats()["step"]
                run.batch(batch)
                still = unmoved(before, snapshot(run.model, run.optimizer))
                stepped = run.ldb.stats()["step"] > steps
                assert still - frozen == (names if stepped else set(before)) - frozen
                dropped += len(names - frozen) * stepped
    assert dropped > 0
    assert run.ldb.stats()["share_dropped"] > 0


def test_the_learning_rate_is_the_schedulers_between_steps():
    rates = []
    for strategy in (None, "uniform"):
        with accumulating() as prepares:
            run = make(prepares, "vit", strategy, lr_scale=2.0, schedule=ALWAYS)
            rates.append([])
            for epoch in range(2):
                run.epochs([epoch])
                rates[-1].append(run.optimizer.param_groups[0]["lr"])
    assert rates[0] == rates[1]
    assert len(set(rates[0])) == 2


def test_the_batch_factor_works_on_a_prepared_loader():
    with accelerator() as prepares:
        run = make(prepares, "vit", "uniform", batch_scale=2)
        sizes = {}
        for epoch in range(3):
            batches = run.ldb.epoch(run.loader, epoch)
            sizes[epoch] = [len(batches)]
            for batch in batches:
                sizes[epoch].append(len(batch[0]))
                run.batch(batch)
    assert sizes[0] == sizes[2] == [11, *[4] * 11]
    assert sizes[1] == [6, *[8] * 5, SAMPLES - 40]


# ---- checkpoints ---------------------------------------------------------------------------------


@contextlib.contextmanager
def resumable(**settings):
    """Its loaders draw the order from a seed and the epoch's number, as Accelerate advises."""
    order = DataLoaderConfiguration(use_seedable_sampler=True, data_seed=3)
    with accumulating(dataloader_config=order, **settings) as prepares:
        yield prepares


@pytest.mark.parametrize(
    ("done", "precision"),
    [(3, "no"), (6, "bf16"), pytest.param(6, "no", marks=pytest.mark.slow)],
)
@each_strategy
def test_a_run_goes_on_from_the_middle_of_a_drop_epoch_bit_for_bit(
    done, strategy, precision, tmp_path
):
    with resumable(mixed_precision=precision) as prepares:
        whole = make(prepares, "vit", strategy)
        whole.epochs([0, 1, 2, 3])
    with resumable(mixed_precision=precision) as prepares:
        first = make(prepares, "vit", strategy)
        prepares.register_for_checkpointing(first.ldb)
        first.epochs([0, 1, 2, 3], stop=done)
        prepares.save_state(str(tmp_path / "saved"))
    with resumable(mixed_precision=precision) as prepares:
        second = make(prepares, "vit", strategy)
        prepares.register_for_checkpointing(second.ldb)
        prepares.load_state(str(tmp_path / "saved"))
        second.loader.set_epoch(3)
        second.epochs([3], first=done)
    assert first.masks + second.masks == whole.masks
    assert None not in whole.masks[-STEPS:]
    assert_same_weights(second.model, whole.model)
    states = [snapshot(run.model, run.optimizer) for run in (second, whole)]
    torch.testing.assert_close(*states, rtol=0, atol=0)


def test_a_state_of_another_model_is_refused_on_loading(tmp_path):
    with accelerator() as prepares:
        run = make(prepares, "vit", "uniform")
        prepares.register_for_checkpointing(run.ldb)
        run.epochs([0])
        prepares.save_state(str(tmp_path / "saved"))
    with accelerator() as prepares:
        other = make(prepares, "vit", dropping("uniform", unit="tensor"))
        prepares.register_for_checkpointing(other.ldb)
        with pytest.raises(StateError, match="the state belongs to another model"):
            prepares.load_state(str(tmp_path / "saved"))


# ---- the recipe ----------------------------------------------------------------------------------


@pytest.fixture
def _state_of_its_own():
    forget()
    yield
    forget()


@pytest.mark.usefixtures("_state_of_its_own")
@each_strategy
def test_the_recipe_drops_and_what_is_dropped_stands_still(strategy):
    recipes.check_drops("Accelerate", dropping(strategy))


@pytest.mark.usefixtures("_state_of_its_own")
@each_strategy
def test_the_recipe_at_rate_0_is_plain_accelerate_bit_for_bit(strategy):
    recipes.check_rate_0("Accelerate", dropping(strategy, 0.0))
