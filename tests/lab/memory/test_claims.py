"""What the strategies promise about memory, in exact bytes of real steps."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from layerdropback import Branch, LayerDropBack, Schedule, Truncate, Uniform
from layerdropback.lab import count_memory
from layerdropback.lab.memory.ledger import Ledger
from layerdropback.lab.memory.steps import Work, orderly, own_loss, step

FLOAT, ROWS, WIDTH, BLOCKS = 4, 32, 16, 6
ONE = FLOAT * ROWS * WIDTH  # bytes of an activation
LOSS = FLOAT
# In a run's first ten steps a number of each of the last four weights is remembered.
LOOKS, LOOKED_AT = 10, 4 * FLOAT


class Block(nn.Module):
    """Keeps its input for the weight's gradient, and what the sigmoid makes for its own."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x):
        return self.linear(x).sigmoid()


class Residual(Block):
    def forward(self, x):
        return x + super().forward(x)


def chain(kind):
    return nn.Sequential(*(kind() for _ in range(BLOCKS)), nn.Linear(WIDTH, 1, bias=False))


def batch():
    return torch.ones(ROWS, WIDTH)


def adam(model):
    return torch.optim.AdamW(model.parameters())


def test_plain_training_keeps_every_blocks_activations():
    found = count_memory(partial(chain, Block), adam, batch)
    assert found.saved == BLOCKS * ONE + LOSS
    assert found.trained == found.parameters == WIDTH * WIDTH * BLOCKS + WIDTH
    assert found.first is None


@pytest.mark.parametrize("below", range(1, BLOCKS))
def test_truncate_keeps_nothing_below_its_cut(below):
    """But for what the first trained layer gets, whose weight's gradient is made of it."""
    strategy = Truncate(share_below(below))
    found = count_memory(partial(chain, Block), adam, batch, strategy)
    kept = BLOCKS - below
    assert found.trained == WIDTH * WIDTH * kept + WIDTH
    assert found.saved == (kept + 1) * ONE + LOSS + LOOKED_AT
    full = count_memory(partial(chain, Block), adam, batch)
    assert full.saved - found.saved == (below - 1) * ONE - LOOKED_AT
    assert found.kinds["states"] == 2 * 4 * found.trained + 4 * (kept + 1), "of what trains alone"
    assert full.kinds["states"] == 2 * 4 * full.trained + 4 * (BLOCKS + 1)


def share_below(count):
    """A little over what a cut above so many blocks skips: the weights' products, and those of the
    activations but for the first block's, whose input needs no gradient. The first trained block's
    is skipped, too."""
    product, head = WIDTH * WIDTH, 2 * WIDTH
    return 2 * count * product / ((2 * BLOCKS - 1) * product + head) + 1e-9


@pytest.mark.parametrize("depth", ["fixed", "uniform"])
def test_the_first_step_makes_the_states_of_all_but_what_a_fixed_cut_leaves_out(depth):
    found = count_memory(partial(chain, Block), adam, batch, Truncate(0.5, depth))
    model = chain(Block)
    with orderly(), Ledger() as ledger:
        ledger.assign_model(model)
        optimizer, images = adam(model), batch()
        ledger.assign(images, "batch")
        step(ledger, Work(model, optimizer, images, own_loss))
        plain = ledger.peak().bytes
    if depth == "uniform":
        assert found.first - plain in (0, LOOKED_AT)
    else:
        assert found.first < plain - 2 * 4 * (found.parameters - found.trained) / 2


def steps_of(strategy, kind, steps=12):
    """For each drop step its mask, and what its forward pass has left."""
    model = chain(kind)
    with orderly(), Ledger() as ledger:
        ledger.assign_model(model)
        optimizer, images = adam(model), batch()
        ledger.assign(images, "batch")
        work = Work(model, optimizer, images, own_loss)
        ldb = LayerDropBack(model, optimizer, strategy, Schedule(every=1, start=0))
        with ldb.epoch(None, 0):
            for _ in range(1 + LOOKS):
                step(ledger, work)
            for _ in range(steps):
                mask = ldb.mask
                before = ledger.total
                counted = step(ledger, work)
                assert ledger.total - before <= 0, "nothing stays behind"
                assert ledger.live.get("gradients", 0) == 0
                yield mask, counted


def test_branch_keeps_nothing_inside_a_dropped_branch():
    seen = set()
    for mask, counted in steps_of(Branch(0.5), Residual):
        kept = [i for i in range(BLOCKS) if not mask[i]]
        # The input of each kept branch, the head's, and what each kept branch's sigmoid made. The
        # first block's input is the batch.
        inputs = {i for i in kept if i > 0} | {BLOCKS}
        tensors = len(inputs) + len(kept)
        assert counted.saved == tensors * ONE + LOSS
        assert counted.trained == WIDTH * WIDTH * len(kept) + WIDTH
        seen.add(len(kept))
    assert len(seen) > 2


def test_uniform_saves_the_gradients_of_what_it_drops_and_no_activation_that_others_need():
    masks = list(steps_of(Uniform(0.5), Block))
    for mask, counted in masks:
        assert counted.trained == WIDTH * WIDTH * (BLOCKS - int(mask.sum())) + WIDTH
        first = int(np.flatnonzero(~mask)[0])
        # Sigmoids from the first kept layer on, and that layer's input.
        tensors = BLOCKS - first + (first > 0)
        assert counted.saved == tensors * ONE + LOSS
    assert len({int(mask.sum()) for mask, _ in masks}) > 2
