import copy
import io
import json

import pytest
import torch
from torch import nn

from layerdropback import LayerDropBack, StateError
from zoo import ZOO, mlp


def run(steps_of, state=None, seed=0, unit="layer", **settings):
    """Train the ViT for some (epoch, batches) pairs, from a saved state if there is one."""
    entry = ZOO["vit"]
    model = entry.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    ldb = LayerDropBack(model, optimizer, seed=seed, unit=unit, verify=True, **settings)
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        ldb.load_state_dict(state["ldb"])
    masks, saved = [], []
    for epoch, numbers in steps_of:
        batches = entry.batches(6)
        for batch in ldb.epoch([batches[number] for number in numbers], epoch):
            masks.append(None if ldb.mask is None else ldb.mask.tolist())
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "ldb": ldb.state_dict(),
            }
            file = io.BytesIO()
            torch.save(state, file)
            saved.append(file.getvalue())
    return model, masks, saved


ALL = [(epoch, range(6)) for epoch in range(4)]


@pytest.mark.parametrize("resample", ["step", "epoch"])
@pytest.mark.parametrize("done", [3, 6, 8, 11, 12, 20])
def test_a_resumed_run_goes_on_bit_for_bit(done, resample):
    whole, masks, saved = run(ALL, seed=9, resample=resample)
    state = torch.load(io.BytesIO(saved[done - 1]), weights_only=True)
    epoch, number = divmod(done, 6)
    rest = [(epoch, range(number, 6)), *ALL[epoch + 1 :]]
    resumed, rest_masks, _ = run(rest, state, seed=1, resample=resample)
    assert rest_masks == masks[done:]
    for one, other in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_state_saved_before_the_first_step_records_the_order_later():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ldb = LayerDropBack(model, optimizer, every=1, start=0)
    state = ldb.state_dict()
    assert state["order"] is None
    ldb.load_state_dict(state)
    seen = []
    for _ in ldb.epoch(range(3), 0):
        seen.append(ldb.mask is not None)
        model(torch.randn(2, 8)).sum().backward()
        optimizer.step()
    assert seen == [False, True, True]


def saved_state(model=None, **settings):
    model = mlp() if model is None else model
    ldb = LayerDropBack(model, torch.optim.SGD(model.parameters(), lr=0.1), **settings)
    with ldb.epoch(None, 0):
        model(torch.randn(2, 8)).sum().backward()
        ldb.optimizers[0].step()
    return ldb, ldb.state_dict()


def test_the_state_is_plain_and_small():
    _, state = saved_state()
    assert json.loads(json.dumps(state)) == state


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: [], "this list is no state of LayerDropBack"),
        (lambda s: {}, "this dict is no state of LayerDropBack"),
        (lambda s: s | {"version": 99}, "version 99, this release reads 3"),
        (lambda s: {k: v for k, v in s.items() if k != "step"}, "no usable 'step'"),
        (lambda s: s | {"step": "many"}, "no usable 'step'"),
        (lambda s: s | {"seed": -1}, "no usable 'seed'"),
        (lambda s: s | {"times_dropped": [1]}, "no usable 'times_dropped'"),
        (lambda s: s | {"order": {"first": {}}}, "no usable 'order'"),
        (lambda s: s | {"order": s["order"] | {"last": {"9.weight": 0}}}, "no usable 'order'"),
    ],
)
def test_a_damaged_state_is_told_and_changes_nothing(damage, message):
    ldb, state = saved_state()
    before = copy.deepcopy(ldb.state_dict())
    with pytest.raises(StateError, match=message):
        ldb.load_state_dict(damage(copy.deepcopy(state)))
    assert ldb.state_dict() == before


def test_another_models_state_names_the_differences():
    _, state = saved_state()
    other = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.Linear(4, 5))
    ldb, _ = saved_state(other)
    with pytest.raises(StateError) as error:
        ldb.load_state_dict(state)
    text = str(error.value)
    assert "layer '4' is only in the state" in text
    assert "layer '3' is only in the model" in text
    assert "'2' has 2.weight (4, 16), 2.bias (4,) here and 2.weight (16, 16)" in text


def test_another_unit_is_another_model():
    _, state = saved_state()
    ldb, _ = saved_state(unit="tensor")
    with pytest.raises(StateError, match="layer '0' is only in the state.*more differences"):
        ldb.load_state_dict(state)


def test_loading_ends_an_open_epoch():
    ldb, state = saved_state(every=1, start=0)
    ldb.begin_epoch(1)
    assert ldb.mask is not None
    ldb.load_state_dict(state)
    assert not ldb.is_drop_epoch
    assert ldb.mask is None


def test_the_epochs_share_goes_on_where_it_was_saved():
    """To the last bit, so that a resumed run reports what an unbroken one does."""

    def attached():
        torch.manual_seed(0)
        model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(7)])
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        return model, optimizer, LayerDropBack(model, optimizer, every=1, start=0)

    def steps(made, epoch, count):
        model, optimizer, ldb = made
        states = []
        for batch in ldb.epoch([torch.ones(2, 4)] * count, epoch):
            model(batch).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            states.append(ldb.state_dict())
        return states

    unbroken = attached()
    states = steps(unbroken, 0, 9)
    resumed = attached()
    resumed[2].load_state_dict(states[4])
    steps(resumed, 0, 4)
    assert resumed[2].stats() == unbroken[2].stats()
    assert 0 < resumed[2].stats()["share_dropped"] < 1
    steps(resumed, 1, 3)
    steps(unbroken, 1, 3)
    assert resumed[2].stats() == unbroken[2].stats(), "the next epoch counts anew"
