"""Which module makes the early uses of a parameter that is used again."""

import pytest
import torch
from torch import nn

from layerdropback.model.tied import early_users
from recorded import recorded, recorded_entry
from zoo import CLASSES, ZOO


class Thrice(nn.Module):
    """Two modules share a weight; the first is called once or twice, then the second."""

    def __init__(self, calls):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.head = nn.Linear(4, CLASSES)
        self.second.weight = self.first.weight
        self.calls = calls

    def forward(self, x):
        for _ in range(self.calls):
            x = self.first(x)
        return self.head(self.second(x))


def found(model, owners):
    trace = recorded(model, lambda m: m(torch.ones(1, 4)).sum().backward()).traces[0]
    return early_users(trace, owners)


OWNERS = {"first.weight": ("first", "second")}


def test_the_embedding_makes_the_early_use_of_a_tied_head():
    recorder, _ = recorded_entry(ZOO["tied_gpt"])
    owners = {"head.weight": ("head", "tokens")}
    assert early_users(recorder.traces[0], owners) == {"head.weight": ("tokens",)}


def test_all_early_uses_must_be_in_calls_of_owners():
    assert found(Thrice(1), OWNERS) == {"first.weight": ("first",)}
    assert found(Thrice(2), OWNERS) == {"first.weight": ("first",)}


class Halves(nn.Module):
    """One table for the encoder, the decoder and the head, as BART and T5 have it."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Embedding(7, 4), nn.Embedding(7, 4)
        self.middle = nn.Linear(4, 4)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        words = torch.arange(5)
        read = self.middle(self.encoder(words)).mean(0)
        return (read + self.decoder(words)) @ self.encoder.weight.T


def test_an_embedding_for_each_half_of_an_encoder_decoder():
    owners = {"encoder.weight": ("encoder", "decoder")}
    assert found(Halves(), owners) == {"encoder.weight": ("encoder", "decoder")}
    assert found(Halves(), {"encoder.weight": ("encoder",)}) == {}


def test_what_nobody_asks_about_or_is_used_once_has_no_early_user():
    assert found(Thrice(1), {}) == {}
    assert found(Thrice(1), {"head.weight": ("head",)}) == {}


@pytest.mark.parametrize("around", [True, False])
def test_a_module_that_also_makes_the_last_use_is_none(around):
    class Net(nn.Module):
        """One module makes both uses by itself."""

        def __init__(self):
            super().__init__()
            self.inner = Around() if around else nn.Linear(4, 4)

        def forward(self, x):
            return self.inner(x) if around else self.inner(self.inner(x))

    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 4))

        def forward(self, x):
            return (x @ self.weight).exp() @ self.weight

    assert found(Net(), {"inner.weight": ("inner",)}) == {}
