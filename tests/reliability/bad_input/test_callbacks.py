"""Wrong arguments of both callbacks, wrong saved states, and trainers that cannot use them."""

import pytest
from torch import nn

import lightning_runs
import trainer_runs
from layerdropback import Schedule, Uniform
from layerdropback.errors import LayerDropBackError
from layerdropback.integrations.chosen import from_state
from layerdropback.integrations.lightning import LayerDropBackCallback as ForLightning
from layerdropback.integrations.transformers import LayerDropBackCallback as ForTransformers
from wrong_calls import refused

SETTINGS = {"strategy": {"name": "uniform"}, "schedule": {}}


def saved(value):
    ForTransformers().saved = value


# For both callbacks.
ARGUMENT_ROWS = {
    "strategy": (lambda kind: kind("nothing"), "strategy='nothing' is not usable. Cause: there..."),
    "a rate": (lambda kind: kind(0.5), "strategy=0.5 is not usable. Cause: there is no such..."),
    "a class": (lambda kind: kind(Uniform), "strategy=<class... is not usable. Cause: there is..."),
    "a rate in it": (lambda kind: kind(Uniform(2)), "rate=2 is not usable. Cause: it is the..."),
    "schedule": (lambda kind: kind(schedule=3), "schedule=3 is not usable. Cause: it is a int..."),
    "schedule word": (
        lambda kind: kind("uniform", "paper-scratch"),
        "schedule='paper-scratch' is not usable. Cause: it is a str...",
    ),
    "preset": (
        lambda kind: kind(preset="fine"),
        "preset='fine' is unknown. Cause: no such preset...",
    ),
    "no preset": (
        lambda kind: kind(preset=None),
        "preset=None is unknown. Cause: no such preset...",
    ),
    "lr": (
        lambda kind: kind(lr_scale=-1),
        "lr_scale=-1 is not usable. Cause: it multiplies the...",
    ),
    "seed": (lambda kind: kind(seed=-1), "seed=-1 is not usable. Cause: it keys the masks..."),
    "batch": (lambda kind: kind(batch_scale=-1), "batch_scale=-1 is not usable. Cause: it mult..."),
    "batch word": (lambda kind: kind(batch_scale="2"), "batch_scale='2' is not usable. Cause: ..."),
    "verify": (
        lambda kind: kind(verify="yes"),
        "verify='yes' is not usable. Cause: it is asked...",
    ),
    "steps and batch": (
        lambda kind: kind(schedule=Schedule(steps=3), batch_scale=2),
        "steps=3 and batch_scale=2 exclude each other. Cause: ...",
    ),
}

TRANSFORMERS_ROWS = {
    "batch": (
        lambda: ForTransformers(batch_scale=2),
        "batch_scale=2 cannot be applied. Cause: Trainer counts steps from the length that its...",
    ),
    "by hand": (
        lambda: ForTransformers().on_train_begin(None, None, None),
        "LayerDropBackCallback was called by no Trainer. Cause: it must know the model that...",
    ),
    "saved none": (
        lambda: saved(None),
        "the saved settings of LayerDropBack cannot be used. Caus...",
    ),
    "saved number": (
        lambda: saved(3),
        "the saved settings of LayerDropBack cannot be used. Cause...",
    ),
    "saved empty": (
        lambda: saved({}),
        "the saved settings of LayerDropBack cannot be used. Cause...",
    ),
    "saved word": (
        lambda: saved({"settings": "uniform"}),
        "the saved settings of LayerDropBack cannot be used. Cause: they were cut or changed...",
    ),
}

SAVED_ROWS = {
    "empty": ({}, "the saved settings of LayerDropBack cannot be used. Cause: they were cut or..."),
    "strategy": ({"strategy": 3, "schedule": {}}, "the saved settings of LayerDropBack cannot..."),
    "strategy name": (
        {"strategy": {"name": "paint"}, "schedule": {}},
        "strategy='paint' is not usable. Cause: there is no such strategy...",
    ),
    "strategy list": (
        {"strategy": {"name": ["uniform"]}, "schedule": {}},
        "strategy=['uniform'] is not usable. Cause: there is no such strategy...",
    ),
    "strategy more": (
        {"strategy": {"name": "uniform", "colour": 1}, "schedule": {}},
        "the saved settings of LayerDropBack cannot be used. Cause: they were cut or changed (...",
    ),
    "rate": (
        {"strategy": {"name": "uniform", "rate": 2}, "schedule": {}},
        "rate=2 is not usable. Cause: it is the chance to be dropped...",
    ),
    "schedule": (
        {"strategy": {"name": "uniform"}, "schedule": {"every": -1}},
        "every=-1 is not usable. Cause: epochs are counted...",
    ),
    "schedule more": (
        {"strategy": {"name": "uniform"}, "schedule": {"colour": 1}},
        "the saved settings of LayerDropBack cannot be used. Cause: they were cut or changed (...",
    ),
    "no schedule": (
        {"strategy": {"name": "uniform"}},
        "the saved settings of LayerDropBack cannot be used. Cause: they were cut or changed (...",
    ),
    "more": (
        SETTINGS | {"colour": 1},
        "the saved settings of LayerDropBack cannot be used. Cause...",
    ),
    "seed": (SETTINGS | {"seed": "x"}, "seed='x' is not usable. Cause: it keys the masks..."),
}


@pytest.mark.parametrize("kind", [ForTransformers, ForLightning], ids=["transformers", "lightning"])
@pytest.mark.parametrize("row", ARGUMENT_ROWS)
def test_arguments_of_both(row, kind):
    call, expected = ARGUMENT_ROWS[row]
    refused(lambda: call(kind), expected)


@pytest.mark.parametrize("row", TRANSFORMERS_ROWS)
def test_what_transformers_alone_has(row):
    refused(*TRANSFORMERS_ROWS[row])


@pytest.mark.parametrize("row", SAVED_ROWS)
def test_saved_settings(row):
    values, expected = SAVED_ROWS[row]
    refused(lambda: from_state(values), expected)


def test_a_refused_state_changes_nothing():
    callback = ForTransformers("truncate")
    before = callback.settings
    with pytest.raises(LayerDropBackError):
        callback.saved = {"settings": {"strategy": {"name": "uniform"}}}
    assert callback.settings == before
    assert callback.saved is None


@pytest.mark.filterwarnings(*trainer_runs.QUIET)
def test_two_callbacks_of_transformers(tmp_path):
    callbacks = ForTransformers(), ForTransformers("uniform")
    refused(
        lambda: trainer_runs.run("bert", tmp_path, *callbacks, num_train_epochs=1),
        "the trainer has more than one LayerDropBackCallback. Cause: two would undo each...",
    )


class AllFrozen(lightning_runs.Classifier):
    """Its optimizer holds what does not train."""

    def configure_optimizers(self):
        self.requires_grad_(False)
        return super().configure_optimizers()


class OfAnother(lightning_runs.Classifier):
    def configure_optimizers(self):
        return lightning_runs.sgd(nn.Linear(2, 2).parameters())


LIGHTNING_ROWS = {
    "all frozen": (
        AllFrozen,
        "the model has no trainable parameter. Cause: every parameter has...",
    ),
    "another optimizer": (
        OfAnother,
        "optimizer SGD has no layer to keep. Cause: it holds no pa...",
    ),
}


@pytest.mark.filterwarnings(*lightning_runs.QUIET)
@pytest.mark.parametrize("row", LIGHTNING_ROWS)
def test_modules_of_lightning(row):
    module, expected = LIGHTNING_ROWS[row]
    refused(lambda: lightning_runs.fit(module(), ForLightning()), expected)
