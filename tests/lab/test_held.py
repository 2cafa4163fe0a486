import itertools

import pytest
import torch
from torch import nn

from layerdropback import Blocks, LayerDropBack, Schedule, Truncate
from layerdropback.lab.held import MovingBytes, state_bytes

WIDTH, DEPTH = 6, 4


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, values):
        return values + self.inner(values)


def network():
    blocks = nn.Sequential(*(Residual() for _ in range(DEPTH)))
    return nn.Sequential(nn.Linear(WIDTH, WIDTH, bias=False), blocks, nn.Linear(WIDTH, 2))


BLOCK, HEAD = 4 * WIDTH * WIDTH, 4 * 2 * (WIDTH + 1)


def train(model, optimizer, ldb, steps):
    batches = [torch.randn(3, WIDTH) for _ in range(steps)]
    for batch in batches if ldb is None else ldb.epoch(batches, 0):
        model(batch).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize(("momentum", "states"), [(0.0, 0), (0.9, (DEPTH + 1) * BLOCK + HEAD)])
def test_plain_training_moves_everything(momentum, states):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
    with MovingBytes(optimizer) as counted:
        train(model, optimizer, None, 2)
    assert (counted.gradients, counted.states) == ((DEPTH + 1) * BLOCK + HEAD, states)


@pytest.mark.parametrize("state", ["offload", "keep"])
def test_blocks_that_take_turns_move_two_and_the_head(state):
    """Once the first step, which is recorded, is over."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    ldb = LayerDropBack(
        model, optimizer, Blocks(2, "cyclic", train=("head",), state=state), Schedule(steps=2)
    )
    with MovingBytes(optimizer) as counted:
        train(model, optimizer, ldb, 8)
    assert counted.gradients == 2 * BLOCK + HEAD
    blocks = DEPTH if state == "keep" else 2
    assert counted.states == blocks * BLOCK + HEAD
    assert state_bytes(optimizer) == counted.states


def test_what_is_below_a_cut_does_not_move():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    ldb = LayerDropBack(model, optimizer, Truncate(0.5), Schedule(1, 0))
    with MovingBytes(optimizer) as counted:
        train(model, optimizer, ldb, 3)
    assert counted.gradients == counted.states < (DEPTH + 1) * BLOCK + HEAD


def test_nothing_is_left_behind():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with MovingBytes(optimizer) as counted:
        pass
    train(model, optimizer, None, 1)
    assert (counted.gradients, counted.states) == (None, None)


def test_states_of_every_shape_are_found():
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    batch = torch.randn(5, WIDTH)

    def closure():
        optimizer.zero_grad()
        loss = model(batch).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    (entry,) = optimizer.state.values()
    listed = itertools.chain(entry["old_dirs"], entry["old_stps"])
    assert state_bytes(optimizer) > sum(tensor.nbytes for tensor in listed) > 0


@pytest.mark.parametrize("optimizer", [None, "a word"])
def test_what_is_no_optimizer_is_not_counted(optimizer):
    with MovingBytes(optimizer) as counted:
        pass
    assert (counted.gradients, counted.states, state_bytes(optimizer)) == (None, None, None)
