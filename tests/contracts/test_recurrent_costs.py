"""A cut skips the share that was asked for, also of fused recurrent layers.

The yardstick is the same network with its time steps written out, whose products are counted one
by one.
"""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from attached import sgd
from by_hand import ALWAYS
from layerdropback import LayerDropBack, Truncate

WIDTH, WORDS, STEPS = 16, 20, 6


class WrittenOut(nn.Module):
    """One layer, in one direction or both, as a loop over cells."""

    def __init__(self, kind, size, both):
        super().__init__()
        cell = getattr(nn, f"{kind}Cell")
        self.cells = nn.ModuleList(cell(size, WIDTH) for _ in range(1 + both))

    def forward(self, x):
        found = []
        for backwards, cell in enumerate(self.cells):
            state, outputs = None, []
            for part in x.flip(1).unbind(1) if backwards else x.unbind(1):
                state = cell(part, state)
                outputs.append(state[0] if isinstance(state, tuple) else state)
            made = torch.stack(outputs, 1)
            found.append(made.flip(1) if backwards else made)
        return torch.cat(found, 2), None


class Model(nn.Module):
    def __init__(self, kind, both, fused, packed):
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        sizes = (WIDTH, WIDTH * (1 + both), WIDTH * (1 + both))
        self.layers = nn.ModuleList(
            getattr(nn, kind)(size, WIDTH, batch_first=True, bidirectional=both)
            if fused
            else WrittenOut(kind, size, both)
            for size in sizes
        )
        self.head, self.packed = nn.Linear(sizes[-1], WORDS), packed

    def forward(self, x):
        x = self.words(x)
        if self.packed:
            x = pack_padded_sequence(x, [STEPS] * len(x), batch_first=True)
        for layer in self.layers:
            x, _ = layer(x)
        return self.head(pad_packed_sequence(x, batch_first=True)[0] if self.packed else x)


def chances(kind, both, fused, packed=False):
    """Each part's chance to be dropped in a cut of 40 %; where its cells differ, their mean."""
    torch.manual_seed(0)
    model = Model(kind, both, fused, packed)
    optimizer = sgd(model)
    ldb = LayerDropBack(model, optimizer, Truncate(0.4, unit="block"), ALWAYS)
    with ldb.epoch(None, 0):
        x = torch.randint(WORDS, (4, STEPS))
        nn.functional.cross_entropy(model(x).transpose(1, 2), x).backward()
        optimizer.step()
    found = {}
    for name, chance in ldb.stats()["drop_chances"].items():
        found.setdefault(".".join(name.split(".")[:2]), []).append(chance)
    return {name: sum(some) / len(some) for name, some in found.items()}


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("packed", [False, True])
def test_fused_layers_cost_what_written_out_ones_do(kind, packed):
    found, wanted = chances(kind, False, True, packed), chances(kind, False, False)
    assert found.keys() == wanted.keys()
    for name, chance in wanted.items():
        assert abs(found[name] - chance) < 0.12, (name, found, wanted)
    assert found["layers.0"] > 0.9 > 0.5 > found["layers.1"]


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_both_directions(kind):
    found, wanted = chances(kind, True, True), chances(kind, True, False)
    assert found["layers.0"] == 1.0
    assert abs(found["layers.1"] - wanted["layers.1"]) < 0.12, (found, wanted)
    assert found["layers.2"] == wanted["layers.2"] == 0
