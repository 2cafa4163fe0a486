"""Promise 2: rate 0 is plain training, bit for bit; the control has the factors alone."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from attached import assert_same_weights, sgd
from layerdropback import Branch, Control, LayerDropBack, Schedule, Truncate, Uniform
from zoo import ZOO

FACTORS = {"lr_scale": 3.0, "batch_scale": 2}
ALWAYS = Schedule(every=1, start=0)


def loader_of(entry, count=3):
    batches = entry.batches(count)
    data = TensorDataset(torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]))
    return DataLoader(data, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(5))


def train(entry, strategy=None, *, epochs=4, **settings):
    """The model, its optimizer's state, and torch's generator after all; plain by default."""
    model = entry.model()
    optimizer = sgd(model)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    loader = loader_of(entry)
    attached = strategy is not None
    ldb = LayerDropBack(model, optimizer, strategy, **settings) if attached else None
    torch.manual_seed(11)
    for epoch in range(epochs):
        for batch in ldb.epoch(loader, epoch) if ldb else loader:
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
        scheduler.step()
    return model, optimizer.state_dict()["state"], torch.get_rng_state()


def assert_plain(entry, strategy, **settings):
    plain, plain_state, plain_generator = train(entry)
    mine, state, generator = train(entry, strategy, **settings)
    assert_same_weights(mine, plain)
    torch.testing.assert_close(state, plain_state, rtol=0, atol=0)
    assert torch.equal(generator, plain_generator)


@pytest.mark.parametrize("name", ZOO)
def test_rate_0_is_plain_training(name):
    assert_plain(ZOO[name], Uniform(0), schedule=ALWAYS, **FACTORS)


@pytest.mark.in_turn("unit")
@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("unit", ["layer", "tensor"])
def test_the_control_without_factors_is_plain_training(name, unit):
    """It goes through every hook of a drop epoch, with a mask in which nothing drops."""
    assert_plain(ZOO[name], Control(unit=unit), lr_scale=1.0, batch_scale=1)


@pytest.mark.parametrize(
    ("strategy", "settings"),
    [
        (Truncate(0), FACTORS),
        (Branch(0), FACTORS),
        (Uniform(0, unit="block", keep=["0"], pool=3), FACTORS),
        (Uniform(0, rates={"0": 0}), FACTORS),
        (Uniform(0), {"lr_scale": "inverse"}),
        (Uniform(0), {"schedule": Schedule(steps=2), "lr_scale": 3.0, "verify": True}),
        (Uniform(0), FACTORS | {"schedule": Schedule(ramp="rising", anneal=0.3, length=4)}),
        (Control(), {"schedule": ALWAYS, "verify": True}),
    ],
    ids=repr,
)
def test_rate_0_is_plain_whatever_else_is_asked_for(strategy, settings):
    assert_plain(ZOO["mlp"], strategy, **settings)


def test_a_rate_of_some_layers_alone_drops():
    """``rates`` with a rate of 0 never dropped anything once."""
    plain, _, _ = train(ZOO["mlp"])
    mine, _, _ = train(ZOO["mlp"], Uniform(0, rates={"0": 0.9}))
    with pytest.raises(AssertionError):
        assert_same_weights(mine, plain)


def test_the_control_has_the_factors_without_the_dropping():
    entry = ZOO["mlp"]
    control, _, _ = train(entry, Control(), lr_scale=2.0, batch_scale=2)
    plain, _, _ = train(entry)
    with pytest.raises(AssertionError):
        assert_same_weights(control, plain)
    by_hand = entry.model()
    optimizer, loader = sgd(by_hand), loader_of(entry)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
    for epoch in range(4):
        loader.batch_sampler.batch_size = 8 if epoch % 2 else 4
        for batch in loader:
            entry.backward(by_hand, batch)
            before = optimizer.param_groups[0]["lr"]
            optimizer.param_groups[0]["lr"] = before * (2 if epoch % 2 else 1)
            optimizer.step()
            optimizer.param_groups[0]["lr"] = before
            optimizer.zero_grad()
        scheduler.step()
    assert_same_weights(control, by_hand)
