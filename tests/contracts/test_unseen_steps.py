"""Promise 12, where the loop steps another optimizer than the attached one: told once, and why."""

import re
import warnings

import pytest
import torch

from attached import attach, each_strategy, sgd, small, train
from twins import ALWAYS
from zoo import ZOO

KINDS = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def warnings_of(steps_with, accumulate=1):
    """What a loop hears that attaches one optimizer, and steps what is made of the model."""
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, attached = attach(model, schedule=ALWAYS)
    optimizer = steps_with(model) or attached
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for number, batch in enumerate(ldb.epoch(entry.batches(10), 0), start=1):
            entry.backward(model, batch)
            if number % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
    return [str(warning.message) for warning in heard]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_optimizer_is_told_within_ten_steps(kind):
    """Fused ones write to weights without being counted by torch."""
    (text,) = warnings_of(lambda model: sgd(model, **KINDS[kind]))
    assert text == (
        "weights moved 3 times, and no step of 'SGD' was seen: no mask is drawn. Cause: the loop "
        "steps another optimizer than the attached one. Cure: attach the optimizers whose step() "
        "the loop calls; detach() first, then attach anew."
    )


@pytest.mark.parametrize("accumulate", [1, 5, 10])
def test_accumulating_is_no_reason_for_a_word(accumulate):
    assert warnings_of(lambda model: None, accumulate) == []


def test_what_is_no_number_moves_no_more_than_others():
    """Weights that have become NaN are not told as moving."""

    def broken(model):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(torch.nan)

    assert not re.search("weights moved", "".join(warnings_of(broken, accumulate=10)))


@each_strategy
def test_a_step_on_zeros_before_any_pass_teaches_nothing(strategy):
    """Torch's distributed state-dict functions make one, so that there are states to load into."""
    entry = small(strategy)
    model = entry.model()
    ldb, optimizer = attach(model, strategy)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    assert ldb.state_dict()["order"] is None
    train(entry, model, ldb, optimizer, 1, steps=4)
    assert ldb.stats()["drop_steps"] == 3
