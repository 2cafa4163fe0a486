"""Recurrent layers that are given packed sequences, or give them on; sequences of any length."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from attached import each_but_branch
from by_hand import CLASSES, Beside, loss_of


def packed():
    lengths = torch.randint(2, 6, (4,)).tolist()
    return pack_sequence([torch.randn(n, 8) for n in lengths], enforce_sorted=False)


def train(model):
    loss_of(model(packed())).backward()


class GivesOn(nn.Module):
    """Three recurrent layers, from one packed sequence to the next."""

    def __init__(self, kind, **settings):
        super().__init__()
        make = getattr(nn, kind)
        width = settings.get("proj_size", 8) * (1 + settings.get("bidirectional", False))
        self.stem, self.head = nn.Linear(8, 8), nn.Linear(width, CLASSES)
        self.layers = nn.ModuleList(
            make(size, 8, batch_first=True, **settings) for size in (8, width, width)
        )

    def forward(self, sequence):
        sequence = sequence._replace(data=self.stem(sequence.data))
        for layer in self.layers:
            sequence, _ = layer(sequence)
        x, lengths = pad_packed_sequence(sequence, batch_first=True)
        return self.head(x[torch.arange(len(x)), lengths - 1])


KINDS = [
    ("LSTM", {}),
    ("GRU", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {"bidirectional": True}),
    ("LSTM", {"proj_size": 6}),
    ("GRU", {"num_layers": 2, "dropout": 0.3}),
]


@each_but_branch
@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_layers_that_give_on_a_packed_sequence(kind, settings, strategy):
    assert Beside(lambda: GivesOn(kind, **settings), strategy).train(train)["drop_steps"] == 9


class Residual(nn.Module):
    """A block whose own output, and whose branch's, is a packed sequence."""

    def __init__(self):
        super().__init__()
        self.layer = nn.GRU(8, 8, batch_first=True)

    def forward(self, sequence):
        found, _ = self.layer(sequence)
        return sequence._replace(data=sequence.data + found.data)


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(Residual(), Residual(), Residual())
        self.head = nn.Linear(8, CLASSES)

    def forward(self, sequence):
        x, lengths = pad_packed_sequence(self.blocks(sequence), batch_first=True)
        return self.head(x[torch.arange(len(x)), lengths - 1])


@pytest.mark.parametrize("strategy", ["uniform", "truncate", "branch"])
def test_residual_blocks_of_packed_sequences(strategy):
    stats = Beside(Blocks, strategy).train_alone(train)
    assert sum(stats["times_dropped"].values()) > 3


class Ragged(nn.Module):
    """Called with a list of sequences, of which it gives a list."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Linear(8, CLASSES))

    def forward(self, sequences):
        return [self.net(sequence).mean(0) for sequence in sequences]


@each_but_branch
def test_a_list_of_sequences(strategy):
    def passes(model):
        lengths = torch.randint(2, 6, (4,)).tolist()
        loss_of(torch.stack(model([torch.randn(n, 8) for n in lengths]))).backward()

    assert Beside(Ragged, strategy).train(passes)["drop_steps"] == 9
