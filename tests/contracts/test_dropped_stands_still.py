"""Promise 3: a dropped layer and its optimizer state do not change, a kept one has a gradient."""

import pytest
import torch

from attached import (
    ZOO_CASES,
    attach,
    dropped_names,
    dropping,
    each_strategy,
    small,
    snapshot,
    unmoved,
)
from layerdropback import Schedule
from zoo import ZOO


def reached_names(entry, model):
    """What the loss can reach: neither frozen nor in a part that it never sees."""
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and name.split(".")[0] not in entry.frozen
    }


@pytest.mark.parametrize(("name", "unit", "strategy"), ZOO_CASES)
def test_who_has_a_gradient_and_who_moves(name, unit, strategy):
    entry = ZOO[name]
    model = entry.model()
    ldb, optimizer = attach(model, dropping(strategy, 0.4, unit=unit))
    expected = reached_names(entry, model)
    dropped_ever = set()
    for epoch in range(4):
        for number, batch in enumerate(ldb.epoch(entry.batches(4), epoch)):
            dropped = dropped_names(ldb)
            dropped_ever |= dropped
            before = snapshot(model, optimizer)
            entry.backward(model, batch)
            has = {n for n, p in model.named_parameters() if p.grad is not None}
            some = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
            assert not some & dropped
            assert expected - dropped <= has
            optimizer.step()
            still = unmoved(before, snapshot(model, optimizer))
            assert dropped <= still
            assert not still & (expected - dropped)
            optimizer.zero_grad(set_to_none=number % 2 == 0)
    assert dropped_ever
    assert dropped_ever <= expected
    assert not {name.split(".")[0] for name in dropped_ever} & {entry.head, *entry.ends}


def torch_optimizers():
    skipped = {"Optimizer", "LBFGS", "SparseAdam", "Muon"}  # base; refused; sparse; matrices only
    kinds = {k: v for k, v in vars(torch.optim).items() if isinstance(v, type) and k not in skipped}
    return {k: v for k, v in kinds.items() if issubclass(v, torch.optim.Optimizer)}


@each_strategy
@pytest.mark.parametrize(
    "foreach",
    [pytest.param(True, id="foreach"), pytest.param(False, id="loop", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("kind", torch_optimizers())
def test_every_torch_optimizer_leaves_dropped_layers_alone(kind, foreach, strategy):
    entry = small(strategy)
    model = entry.model()
    optimizer = torch_optimizers()[kind](model.parameters(), lr=0.01, foreach=foreach)
    for group in optimizer.param_groups:
        for key in {"weight_decay", "momentum"} & group.keys():
            group[key] = 0.1
    ldb, _ = attach(model, strategy, optimizer, schedule=Schedule(every=1, start=0))
    seen = 0
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(5), epoch):
            dropped, before = dropped_names(ldb), snapshot(model, optimizer)
            entry.backward(model, batch)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            still = unmoved(before, snapshot(model, optimizer))
            assert dropped <= still
            assert still != before.keys()
            seen += len(dropped)
            optimizer.zero_grad(set_to_none=False)
    assert seen


@each_strategy
def test_buffers_follow_the_forward(strategy):
    entry = ZOO["resnet"]
    model = entry.model()
    ldb, optimizer = attach(model, dropping(strategy, 0.8))
    dropped = set()
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(3), epoch):
            before = [buffer.clone() for buffer in model.buffers()]
            dropped |= dropped_names(ldb)
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
            for old, new in zip(before, model.buffers(), strict=True):
                assert not torch.equal(old, new)
    assert dropped


@each_strategy
def test_the_forward_pass_is_the_plain_one(strategy):
    entry = ZOO["vit"]
    model, twin = entry.model(), entry.model()
    ldb, optimizer = attach(model, dropping(strategy, 0.8))
    dropped = set()
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(3), epoch):
            twin.load_state_dict(model.state_dict())
            dropped |= dropped_names(ldb)
            assert torch.equal(model(batch[0]), twin(batch[0]))
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
    assert dropped
