"""Learning rates are scaled for a step, and are the user's after it to the last bit."""

import copy
import json
import math
import pickle

import pytest
import torch

from layerdropback.engine.hold import LRScaler


def optimizer_of(*rates, kind=torch.optim.SGD, **settings):
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": rate} for rate in rates]
    return kind(groups, lr=0.5, **settings)


def rates_of(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


# Neither times nor over a factor such a rate comes back to itself.
ODD = 0.1 / 3


@pytest.mark.parametrize("factor", [2.0, 1.1, 0.5, 1 / 3])
def test_every_group_is_scaled_and_put_back_without_rounding(factor):
    optimizer = optimizer_of(ODD, 0.07, 0.0)
    scaler = LRScaler(optimizer)
    for _ in range(10):
        scaler.scale(factor)
        assert rates_of(optimizer) == [ODD * factor, 0.07 * factor, 0.0]
        scaler.restore()
        assert rates_of(optimizer) == [ODD, 0.07, 0.0]
    assert all(type(rate) is float for rate in rates_of(optimizer))


def test_a_factor_of_one_touches_nothing():
    optimizer = optimizer_of(rate := float("0.1"))
    LRScaler(optimizer).scale(1.0)
    assert optimizer.param_groups[0]["lr"] is rate


def test_scaling_twice_is_scaling_once():
    optimizer = optimizer_of(ODD)
    scaler = LRScaler(optimizer)
    scaler.scale(2.0)
    scaler.scale(3.0)
    assert rates_of(optimizer) == [ODD * 3]
    scaler.restore()
    scaler.restore()
    assert rates_of(optimizer) == [ODD]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rate: rate * 0.5, 0.05),
        (lambda rate: 0.5 * rate, 0.05),
        (lambda rate: rate / 2, 0.05),
        (lambda rate: rate * 0.5 * 0.5, 0.025),
        (lambda rate: rate * 0.5 / 0.25, 0.2),
        (lambda rate: rate * 1, 0.1),
        (lambda rate: rate, 0.1),
        (lambda rate: 0.07, 0.07),
        (lambda rate: 0, 0),
    ],
)
def test_what_an_optimizer_does_to_its_rate_is_done_to_the_users(change, expected):
    optimizer = optimizer_of(0.1, 0.01)
    scaler = LRScaler(optimizer)
    scaler.scale(3.0)
    group = optimizer.param_groups[0]
    group["lr"] = change(group["lr"])
    scaler.restore()
    assert rates_of(optimizer) == [pytest.approx(expected), 0.01]
    assert type(group["lr"]) in (float, int)


def test_an_augmented_assignment_too():
    optimizer = optimizer_of(0.1)
    scaler = LRScaler(optimizer)
    for _ in range(3):
        scaler.scale(2.0)
        optimizer.param_groups[0]["lr"] *= 0.5
        scaler.restore()
    assert rates_of(optimizer) == [pytest.approx(0.1 * 0.5**3)]


def test_a_scaled_rate_is_a_number_like_any_other():
    optimizer = optimizer_of(0.1)
    LRScaler(optimizer).scale(2.0)
    (rate,) = rates_of(optimizer)
    assert isinstance(rate, float)
    assert (rate + 1, 1 - rate, -rate, rate**2) == (1.2, 0.8, -0.2, 0.2**2)
    assert (rate * 3, 3 * rate, rate / 4, 4 / rate) == (0.2 * 3, 3 * 0.2, 0.05, 20.0)
    assert math.sqrt(rate) == math.sqrt(0.2)
    assert json.dumps(rate) == f"{rate}" == "0.2"
    assert torch.equal(torch.ones(2) * rate, torch.full((2,), 0.2))
    assert torch.equal(rate * torch.ones(2), torch.full((2,), 0.2))
    with pytest.raises(TypeError):
        rate * "a"


def test_a_checkpoint_from_within_a_step_holds_the_users_rate():
    optimizer = optimizer_of(0.1)
    LRScaler(optimizer).scale(2.0)
    (rate,) = rates_of(optimizer)
    for twin in (pickle.loads(pickle.dumps(rate)), copy.deepcopy(rate)):
        assert (twin, type(twin)) == (0.1, float)


def test_a_group_that_is_added_meanwhile_is_left_alone():
    optimizer = optimizer_of(0.1)
    scaler = LRScaler(optimizer)
    scaler.scale(2.0)
    optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)], "lr": 0.3})
    scaler.restore()
    assert rates_of(optimizer) == [0.1, 0.3]


# ---- tensors -------------------------------------------------------------------------------------


def tensor_optimizer(*rates):
    return optimizer_of(*rates, kind=torch.optim.Adam, foreach=False)


def test_a_tensor_is_changed_in_place():
    """A captured graph reads that very tensor."""
    held = torch.tensor(ODD)
    optimizer = tensor_optimizer(held)
    scaler = LRScaler(optimizer)
    before = held.clone()
    for _ in range(10):
        scaler.scale(1.1)
        assert rates_of(optimizer)[0] is held
        torch.testing.assert_close(held, before * 1.1)
        scaler.restore()
        assert rates_of(optimizer)[0] is held
        assert torch.equal(held, before)


def test_groups_that_share_a_tensor_are_scaled_once():
    shared = torch.tensor(0.1)
    optimizer = tensor_optimizer(shared, shared)
    scaler = LRScaler(optimizer)
    scaler.scale(3.0)
    torch.testing.assert_close(shared, torch.tensor(0.3))
    scaler.restore()
    assert torch.equal(shared, torch.tensor(0.1))


@pytest.mark.parametrize("way", ["in place", "another tensor"])
def test_a_tensor_that_an_optimizer_multiplies_decays_the_users_rate(way):
    held = torch.tensor(0.1)
    optimizer = tensor_optimizer(held, held)
    scaler, (group, other) = LRScaler(optimizer), optimizer.param_groups
    for _ in range(3):
        scaler.scale(2.0)
        if way == "in place":
            group["lr"] *= 0.5
        else:
            group["lr"] = group["lr"] * 0.5
        scaler.restore()
    torch.testing.assert_close(group["lr"], torch.tensor(0.1 * 0.5**3))
    assert other["lr"] is held
    expected = torch.tensor(0.1 * 0.5**3 if way == "in place" else 0.1)
    torch.testing.assert_close(held, expected)


def test_a_number_in_a_tensors_place_is_kept():
    held = torch.tensor(0.1)
    optimizer = tensor_optimizer(held)
    scaler = LRScaler(optimizer)
    scaler.scale(2.0)
    optimizer.param_groups[0]["lr"] = 0.03
    scaler.restore()
    assert rates_of(optimizer) == [0.03]
    assert torch.equal(held, torch.tensor(0.1)), "the tensor may be somebody else's"


def test_a_rate_of_zero_stays():
    held = torch.tensor(0.0)
    scaler = LRScaler(tensor_optimizer(held))
    scaler.scale(2.0)
    scaler.restore()
    assert held == 0
