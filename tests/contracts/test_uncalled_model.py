"""Promise 12, where the loop calls the parts of a model: right, and told once."""

import pytest

from attached import attach, dropped_names, dropping, snapshot, unmoved
from zoo import ZOO


def test_a_model_that_is_never_called_is_told():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, dropping("uniform", 0.9), verify=False)

    def step(batch):
        x = batch[0]
        for module in model:  # the parts, not the model
            x = module(x)
        entry.loss(x, batch[1]).backward()
        optimizer.step()
        optimizer.zero_grad()

    for batch in entry.batches(1):
        with ldb.epoch(None, 0):
            entry.backward(model, batch)  # once as it should be, so that the order is known
            optimizer.step()
            optimizer.zero_grad()
    batches = iter(ldb.epoch(entry.batches(6), 1))
    before, dropped = snapshot(model, optimizer), dropped_names(ldb)
    assert dropped
    with pytest.warns(UserWarning, match="dropping saves nothing: Sequential was not called"):
        step(next(batches))
    assert unmoved(before, snapshot(model, optimizer)) == dropped
    for batch in batches:
        step(batch)  # it is said once
    assert ldb.stats()["drop_steps"] == 6


def test_a_model_that_is_called_in_no_step_is_told():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, dropping("uniform", 0.9), verify=False)

    def steps(epoch):
        for inputs, labels in ldb.epoch(entry.batches(6), epoch):
            x = inputs
            for module in model:
                x = module(x)
            entry.loss(x, labels).backward()
            optimizer.step()
            optimizer.zero_grad()

    steps(0)
    with pytest.warns(UserWarning, match="Cause: the loop calls a method or a part of the model"):
        steps(1)
