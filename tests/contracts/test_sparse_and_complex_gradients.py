"""Gradients, weights and optimizer states that are sparse or complex."""

import pytest
import torch
from torch import nn

from attached import each_but_branch
from by_hand import CLASSES, Beside, block, heard, loss_of

WORDS = 12


class Words(nn.Module):
    def __init__(self, bag=False):
        super().__init__()
        self.words = (nn.EmbeddingBag if bag else nn.Embedding)(WORDS, 8, sparse=True)
        self.body = nn.Sequential(block(), block())
        self.head = nn.Linear(8, CLASSES)
        self.bag = bag

    def forward(self, x):
        x = self.words(x)
        return self.head(self.body(x if self.bag else x.mean(1)))


def read(model):
    loss_of(model(torch.randint(WORDS, (4, 3)))).backward()


def sgd(model, momentum=0.0):
    return [torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)]


def mixed(model):
    """The usual two: `SparseAdam` takes nothing else, and `AdamW` no sparse gradients."""
    rest = [p for name, p in model.named_parameters() if name != "words.weight"]
    return [torch.optim.SparseAdam([model.words.weight]), torch.optim.AdamW(rest)]


@each_but_branch
@pytest.mark.parametrize("bag", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sparse_gradients(bag, momentum, strategy):
    """Their momentum is sparse, too, and verified."""
    pair = Beside(lambda: Words(bag), strategy, lambda model: sgd(model, momentum))
    assert pair.train(read)["drop_steps"] == 9


@each_but_branch
@pytest.mark.parametrize("accumulate", [2, 4])
def test_sparse_gradients_that_wait_over_an_epochs_end(accumulate, strategy):
    stats = Beside(Words, strategy, sgd).train(read, epochs=3, steps=7, accumulate=accumulate)
    assert stats["step"] == 21 // accumulate


def test_two_optimizers():
    assert Beside(Words, "uniform", mixed).train(read)["drop_steps"] == 9


def test_a_cut_below_which_nothing_but_an_embedding_can_lie_is_told():
    """Each optimizer's last layer is kept; what is before it costs nothing to train."""

    class Two(Words):
        def __init__(self):
            super().__init__()
            self.places = nn.Embedding(3, 8, sparse=True)

        def forward(self, x):
            x = self.words(x) + self.places(torch.arange(3))
            return self.head(self.body(x.mean(1)))

    def optimizers(model):
        tables = [model.words.weight, model.places.weight]
        rest = [*model.body.parameters(), *model.head.parameters()]
        return [torch.optim.SparseAdam(tables), torch.optim.AdamW(rest)]

    with heard() as texts:
        assert Beside(Two, "truncate", optimizers).train(read)["drop_steps"] == 0
    (text,) = texts
    assert text.startswith("no layer can be dropped in drop epoch 0, which trains in full")
    assert "an optimizer's last one" in text


@pytest.mark.parametrize("strategy", ["uniform", "truncate"])
def test_a_sparse_weight(strategy):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.head = nn.Linear(8, 8), nn.Linear(8, CLASSES)
            self.weight = nn.Parameter(torch.randn(8, 8).relu().to_sparse())

        def forward(self, x):
            return self.head(torch.sparse.mm(self.weight, torch.tanh(self.stem(x)).T).T)

    assert Beside(Net, strategy, sgd).train_alone()["times_dropped"]["stem"] > 0


class Spectral(nn.Module):
    """A layer of a Fourier neural operator."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.randn(4, 4, 5, dtype=torch.cfloat))

    def forward(self, x):
        modes = torch.einsum("bix,iox->box", torch.fft.rfft(x), self.weight)
        return torch.tanh(torch.fft.irfft(modes, n=x.shape[-1]))


def operator():
    return nn.Sequential(nn.Conv1d(1, 4, 1), *[Spectral() for _ in range(3)], nn.Conv1d(4, 1, 1))


def complex_net():
    """Of complex vectors; what comes out is complex as well."""
    return nn.Sequential(*[nn.Linear(8, 8, dtype=torch.cfloat) for _ in range(4)])


def solve(model):
    x = torch.randn(2, 1, 8)
    (model(x) - x).square().mean().backward()


def turn(model):
    """Gradients with no real part are gradients."""
    out = model(torch.randn(4, 8, dtype=torch.cfloat))
    out.backward(torch.full_like(out, 1e-3j))


@each_but_branch
@pytest.mark.parametrize(("make", "passes"), [(operator, solve), (complex_net, turn)])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_complex_weights(make, passes, accumulate, strategy):
    adam = lambda model: [torch.optim.Adam(model.parameters(), lr=0.01)]  # noqa: E731
    pair = Beside(make, strategy, adam)
    stats = pair.train(passes, epochs=2, steps=8, accumulate=accumulate)
    assert stats["drop_steps"] == 16 // accumulate - 1
