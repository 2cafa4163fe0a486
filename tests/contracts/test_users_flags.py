"""Promise 6: ``requires_grad`` is the user's, whenever the user's code looks at it."""

import pytest

from attached import (
    attach,
    dropping,
    each_but_branch,
    each_strategy,
    flags,
    nearly_all,
    small,
    train,
)
from layerdropback import Schedule
from zoo import ZOO


@each_strategy
def test_flags_are_the_users_on_break_and_exception(strategy):
    entry = small(strategy, "frozen_stem")
    model = entry.model()
    users = flags(model)
    ldb, optimizer = attach(model, nearly_all(strategy))
    train(entry, model, ldb, optimizer)
    inside = []
    model[2].register_forward_hook(lambda *_: inside.append(flags(model)))
    for batch in ldb.epoch(entry.batches(3), 1):
        assert model(batch[0]).requires_grad
        assert flags(model) == users
        break
    assert len(inside) == 1
    assert inside[0] != users, "the forward pass of a drop step lowers flags"
    assert flags(model) == users
    assert not ldb.is_drop_epoch

    def fails():
        for batch in ldb.epoch(entry.batches(3), 3):
            model(batch[0])
            raise KeyError("the user's own")

    with pytest.raises(KeyError):
        fails()
    assert flags(model) == users
    assert not ldb.is_drop_epoch
    with pytest.raises(KeyError), ldb.epoch(None, 5):
        model(batch[0])
        raise KeyError
    assert flags(model) == users


@each_strategy
def test_flags_are_the_users_after_a_forward_pass_that_raises(strategy):
    entry = small(strategy, "frozen_stem")
    model = entry.model()
    users = flags(model)
    ldb, optimizer = attach(model, nearly_all(strategy))
    train(entry, model, ldb, optimizer)
    (batch,) = entry.batches(1)
    with ldb.epoch(None, 1):
        with pytest.raises(RuntimeError):
            model(batch[0][:, :3])  # a wrong shape
        assert flags(model) == users
        entry.backward(model, batch)
        optimizer.step()
    assert ldb.stats()["drop_steps"] == 1


@each_strategy
def test_flags_are_the_users_between_steps(strategy):
    entry = ZOO["beit"]
    model = entry.model()
    users = flags(model)
    ldb, optimizer = attach(model, dropping(strategy, 0.9))
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(3), epoch):
            assert flags(model) == users
            entry.backward(model, batch)
            assert flags(model) == users
            optimizer.step()
            assert flags(model) == users
            optimizer.zero_grad()


@each_but_branch
@pytest.mark.parametrize("often", [True, False])
def test_unfreezing_and_freezing_in_a_drop_epoch_is_respected(often, strategy):
    entry = ZOO["mlp"]
    model = entry.model()
    model[0].requires_grad_(False)
    chosen = nearly_all(strategy) if often else dropping(strategy, 0.3)
    ldb, optimizer = attach(model, chosen, schedule=Schedule(every=1, start=1))
    train(entry, model, ldb, optimizer)
    for number, batch in enumerate(ldb.epoch(entry.batches(8), 1)):
        if number == 2:
            model[0].requires_grad_(True)
        if number == 5:
            for parameter in model[2].parameters():
                parameter.requires_grad = False
        entry.backward(model, batch)
        has = {name for name, p in model.named_parameters() if p.grad is not None}
        frozen = {f"{0 if number < 2 else 2}.{part}" for part in ("weight", "bias")}
        if number < 2 or number >= 5:
            assert not has & frozen
        optimizer.step()
        optimizer.zero_grad()
    assert flags(model) == {name: not name.startswith("2.") for name in flags(model)}
    times = ldb.stats()["times_dropped"]
    train(entry, model, ldb, optimizer, epoch=2)
    assert flags(model) == {name: not name.startswith("2.") for name in flags(model)}
    if often:
        assert ldb.stats()["times_dropped"]["0"] > times["0"], "the unfrozen layer can be dropped"


@each_but_branch
def test_alternating_flags_do_not_stop_the_dropping(strategy):
    """A GAN's loop freezes one half in every other step: the order is recorded once for each."""
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, strategy, schedule=Schedule(every=1, start=0), verify=False)
    drops = []
    for number, batch in enumerate(ldb.epoch(entry.batches(12), 0)):
        model[0].requires_grad_(number % 2 == 0)
        model[2].requires_grad_(number % 2 == 1)
        drops.append(ldb.mask is not None)
        entry.backward(model, batch)
        optimizer.step()
        optimizer.zero_grad()
    assert sum(drops) >= 9
