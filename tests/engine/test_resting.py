"""Optimizer states leave the optimizer while their parameters rest, and come back."""

import copy
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from torch import nn

from layerdropback.engine.resting import Resting
from layerdropback.engine.window import FULL, Window


def model_of(count=3):
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(2, 2) for _ in range(count)))


def stepped(model, optimizer):
    """Every parameter has a state."""
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    optimizer.zero_grad()


def window(model, *dropped):
    mask = np.array([i in dropped for i in range(len(model))])
    return Window(mask, tuple(p for i in dropped for p in model[i].parameters()))


def adamw(model, **settings):
    return torch.optim.AdamW(model.parameters(), lr=0.1, **settings)


@pytest.fixture
def traces():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def model():
    return model_of()


@pytest.fixture
def optimizer(model):
    optimizer = adamw(model)
    stepped(model, optimizer)
    return optimizer


def held(model, optimizer):
    """The indices of the layers whose states are in the optimizer."""
    return [
        i for i, layer in enumerate(model) if all(p in optimizer.state for p in layer.parameters())
    ]


def saved(optimizer):
    return copy.deepcopy(optimizer.state_dict())


def test_what_rests_is_out_of_the_optimizer_and_comes_back_unchanged(model, optimizer, traces):
    before = {p: dict(state) for p, state in optimizer.state.items()}
    resting = Resting([optimizer], "offload", traces)
    resting.settle(window(model, 0, 1))
    assert held(model, optimizer) == [2]
    resting.settle(window(model, 2))
    assert held(model, optimizer) == [0, 1]
    resting.settle(FULL)
    assert held(model, optimizer) == [0, 1, 2]
    for parameter, state in before.items():
        assert {key: id(value) for key, value in optimizer.state[parameter].items()} == {
            key: id(value) for key, value in state.items()
        }


def test_released_states_are_gone(model, optimizer, traces):
    resting = Resting([optimizer], "release", traces)
    resting.settle(window(model, 0))
    resting.settle(FULL)
    assert held(model, optimizer) == [1, 2]
    assert len(optimizer.state_dict()["state"]) == 4


def test_kept_ones_stay(model, optimizer, traces):
    Resting([optimizer], "keep", traces).settle(window(model, 0))
    assert held(model, optimizer) == [0, 1, 2]


@pytest.mark.parametrize("mode", ["offload", "release", "keep"])
def test_what_rests_has_no_gradient(model, optimizer, traces, mode):
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    Resting([optimizer], mode, traces).settle(window(model, 0))
    assert [p.grad is None for p in model.parameters()] == [True, True, *[False] * 4]


def test_where_nothing_rests_nothing_is_touched(model, optimizer, traces):
    model[0].weight.grad = torch.ones_like(model[0].weight)
    Resting([optimizer], None, traces).settle(window(model, 0))
    assert held(model, optimizer) == [0, 1, 2]
    assert model[0].weight.grad is not None


def test_a_checkpoint_is_whole(model, optimizer, traces):
    whole = saved(optimizer)
    Resting([optimizer], "offload", traces).settle(window(model, 1))
    torch.testing.assert_close(saved(optimizer), whole, rtol=0, atol=0)
    assert list(saved(optimizer)["state"]) == list(whole["state"])


def test_a_loaded_state_waits_until_it_is_known_what_rests(model, optimizer, traces):
    whole = saved(optimizer)
    other = model_of()
    fresh = adamw(other)
    resting = Resting([fresh], "offload", traces)
    fresh.load_state_dict(whole)
    assert held(other, fresh) == []
    torch.testing.assert_close(saved(fresh), whole, rtol=0, atol=0)
    resting.settle(window(other, 0))
    assert held(other, fresh) == [1, 2]
    resting.settle(FULL)
    torch.testing.assert_close(saved(fresh)["state"], whole["state"], rtol=0, atol=0)


def test_of_a_loaded_state_what_is_released_goes(model, optimizer, traces):
    other = model_of()
    fresh = adamw(other)
    resting = Resting([fresh], "release", traces)
    fresh.load_state_dict(saved(optimizer))
    resting.settle(window(other, 0))
    resting.settle(FULL)
    assert held(other, fresh) == [1, 2]


def test_a_state_that_is_loaded_again_counts_and_not_the_one_before(model, optimizer, traces):
    early = saved(optimizer)
    resting = Resting([optimizer], "offload", traces)
    stepped(model, optimizer)
    resting.settle(window(model, 0))
    optimizer.load_state_dict(early)
    resting.settle(window(model, 0))
    resting.settle(FULL)
    torch.testing.assert_close(saved(optimizer), early, rtol=0, atol=0)


@pytest.mark.parametrize("settings", [{}, {"fused": True}, {"amsgrad": True, "foreach": True}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_loaded_as_torch_loads_it(traces, settings, dtype):
    model = model_of().to(dtype)
    optimizer = adamw(model, **settings)
    stepped(model, optimizer)
    whole = saved(optimizer)
    for entry in whole["state"].values():  # as an older release saved it
        entry["exp_avg"] = entry["exp_avg"].double()
    plain, resting_one = adamw(model, **settings), adamw(model, **settings)
    resting = Resting([resting_one], "offload", traces)
    for each in (plain, resting_one):
        each.load_state_dict(copy.deepcopy(whole))
    resting.settle(FULL)
    torch.testing.assert_close(saved(resting_one), saved(plain), rtol=0, atol=0)


def test_a_state_of_another_model_is_refused_as_torch_refuses_it(model, optimizer, traces):
    resting = Resting([optimizer], "offload", traces)
    resting.settle(window(model, 0))
    whole = saved(optimizer)
    other = saved(adamw(model_of(5)))
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        optimizer.load_state_dict(other)
    torch.testing.assert_close(saved(optimizer), whole, rtol=0, atol=0)


def test_what_somebody_puts_into_the_optimizer_meanwhile_counts(model, optimizer, traces):
    resting = Resting([optimizer], "offload", traces)
    resting.settle(window(model, 0))
    weight = model[0].weight
    optimizer.state[weight] = {"step": torch.tensor(7.0)}
    assert saved(optimizer)["state"][0] == {"step": torch.tensor(7.0)}
    resting.settle(FULL)
    assert optimizer.state[weight] == {"step": torch.tensor(7.0)}


def test_states_in_containers_go_with_the_others(model, traces):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inner = torch.ones(3)
    optimizer.state[model[0].weight] = {"history": [inner, (inner, 2)], "more": {"of": inner}}
    resting = Resting([optimizer], "offload", traces)
    resting.settle(window(model, 0))
    assert model[0].weight not in optimizer.state
    resting.settle(FULL)
    assert optimizer.state[model[0].weight] == {
        "history": [inner, (inner, 2)],
        "more": {"of": inner},
    }


def test_closing_gives_everything_back_and_leaves_no_hook(model, optimizer):
    hooks = ("_optimizer_state_dict_post_hooks", "_optimizer_load_state_dict_pre_hooks")
    with ExitStack() as traces:
        Resting([optimizer], "offload", traces).settle(window(model, 0, 1))
        assert all(len(getattr(optimizer, name)) == 1 for name in hooks)
    assert held(model, optimizer) == [0, 1, 2]
    assert not any(getattr(optimizer, name) for name in hooks)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("settings", [{}, {"fused": True}])
def test_each_tensor_comes_back_to_its_device(traces, settings):
    model = model_of().cuda()
    optimizer = adamw(model, **settings)
    stepped(model, optimizer)
    devices = [{k: v.device for k, v in entry.items()} for entry in optimizer.state.values()]
    whole = saved(optimizer)
    resting = Resting([optimizer], "offload", traces)
    resting.settle(window(model, 0, 1, 2))
    assert {
        v.device.type for e in optimizer.state_dict()["state"].values() for v in e.values()
    } == {"cpu"}
    resting.settle(FULL)
    assert [{k: v.device for k, v in e.items()} for e in optimizer.state.values()] == devices
    torch.testing.assert_close(saved(optimizer), whole, rtol=0, atol=0)
