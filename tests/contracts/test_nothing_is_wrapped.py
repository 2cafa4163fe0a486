"""Promise 1: the model and the optimizer are the user's, before, meanwhile and after."""

import copy
import gc
import io
import pickle
import weakref

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from attached import attach, dropping, each_strategy, nearly_all, sgd, small, train
from traces import everything_in, everything_on
from zoo import ZOO


def backward_that_fails(model, loss):
    """Stops where the flags are lowered, which nothing but the next touch can lift."""

    def fails(_):
        assert not all(p.requires_grad for p in model.parameters())
        raise KeyError

    handles = [p.register_hook(fails) for p in model.parameters() if p.requires_grad]
    try:
        loss.backward()
    finally:
        for handle in handles:
            handle.remove()


@each_strategy
@pytest.mark.parametrize("way", ["detach", "garbage"])
@pytest.mark.parametrize("moment", ["at once", "in a full step", "in a drop step"])
def test_nothing_is_left_behind(way, moment, strategy):
    entry = ZOO["beit"]
    model = entry.model()
    optimizer = sgd(model)
    before = everything_on(model), everything_in(optimizer)
    ldb, _ = attach(model, dropping(strategy, 0.9), optimizer)
    if moment != "at once":
        train(entry, model, ldb, optimizer)
    if moment == "in a drop step":
        drop = ldb.epoch(None, 1)
        loss = entry.select(model(entry.batches(1)[0][0])).sum()
        with pytest.raises(KeyError):
            backward_that_fails(model, loss)
        del drop
    if way == "detach":
        ldb.detach()
    else:
        del ldb
        gc.collect()
    optimizer.state.clear()
    assert (everything_on(model), everything_in(optimizer)) == before


def test_model_and_optimizer_look_the_same_while_attached():
    model = ZOO["vit"].model()
    optimizer = sgd(model)
    before = list(model.state_dict()), type(model), len(optimizer.param_groups)
    ldb, _ = attach(model, optimizer=optimizer)
    assert (list(model.state_dict()), type(model), len(optimizer.param_groups)) == before
    assert all(parameter.requires_grad for parameter in model.parameters())
    ldb.detach()


@each_strategy
def test_model_and_controller_can_be_collected(strategy):
    entry = small(strategy)
    model = entry.model()
    ldb, optimizer = attach(model, strategy)
    train(entry, model, ldb, optimizer)
    witness = [weakref.ref(model), weakref.ref(ldb)]
    del ldb
    gc.collect()
    assert witness[1]() is None
    del model, optimizer
    gc.collect()
    assert witness[0]() is None


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "averaged": lambda model: AveragedModel(model).module,
    "inside": lambda model: copy.deepcopy({"model": [model]})["model"][0],
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "save": saved,
}


@each_strategy
@pytest.mark.parametrize("way", COPIES)
def test_a_copy_in_a_drop_epoch_carries_no_hook_and_the_users_flags(way, strategy):
    """Before the forward pass, between the passes, and after the step."""
    entry = small(strategy, "frozen_stem")
    model = entry.model()
    plain = everything_on(copy.deepcopy(model))
    ldb, optimizer = attach(model, nearly_all(strategy))
    (batch,) = entry.batches(1)
    for epoch in range(2):
        with ldb.epoch(None, epoch):
            for _ in range(3):
                copies = [COPIES[way](model)]
                output = entry.select(model(batch[0]))
                copies.append(COPIES[way](model))
                entry.loss(output, batch[1]).backward()
                optimizer.step()
                optimizer.zero_grad()
                copies.append(COPIES[way](model))
                assert all(everything_on(twin) == plain for twin in copies)
    assert ldb.stats()["drop_steps"] == 3
    assert ldb.mask is None


def test_a_copy_trains_without_dropping():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, nearly_all("uniform"))
    train(entry, model, ldb, optimizer)
    with ldb.epoch(None, 1):
        twin = copy.deepcopy(model)
        entry.backward(twin, *entry.batches(1))
        assert ldb.mask.any()
    assert all(parameter.grad is not None for parameter in twin.parameters())
