"""Gradients, weights and optimizer states that are sparse or complex."""

import pytest
import torch
from torch import nn

from attached import each_but_branch
from by_hand import ALWAYS, CLASSES, Beside, block, loss_of
from layerdropback import LayerDropBack, Uniform

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


class Tables(Words):
    """Two tables, which SparseAdam trains, and a body that AdamW does."""

    def __init__(self):
        super().__init__()
        self.places = nn.Embedding(3, 8, sparse=True)

    def forward(self, x):
        x = self.words(x) + self.places(torch.arange(3))
        return self.head(self.body(x.mean(1)))


def of_tables(model):
    tables = [model.words.weight, model.places.weight]
    rest = [*model.body.parameters(), *model.head.parameters()]
    return [torch.optim.SparseAdam(tables), torch.optim.AdamW(rest)]


@each_but_branch
def test_embeddings_with_an_optimizer_of_their_own_can_all_be_dropped(strategy):
    """A step of SparseAdam in which no gradient is there moves nothing (issue 16)."""
    stats = Beside(Tables, strategy, of_tables).train(read)
    assert stats["drop_steps"] == 9
    assert min(stats["times_dropped"][name] for name in ("words", "places")) > 0


def test_grad_scaler_fails_on_an_optimizer_without_a_gradient_so_one_layer_of_it_is_kept():
    torch.manual_seed(0)
    model = Tables()
    optimizers, scaler = of_tables(model), torch.amp.GradScaler("cpu")
    ldb = LayerDropBack(model, optimizers, Uniform(0.9), ALWAYS, verify=True)
    for _ in ldb.epoch(range(12), 0):
        loss = loss_of(model(torch.randint(WORDS, (4, 3))))
        scaler.scale(loss).backward()
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
        for optimizer in optimizers:
            optimizer.zero_grad()
    dropped = ldb.stats()["times_dropped"]
    assert dropped["words"] == 0 or dropped["places"] == 0
    assert ldb.stats()["share_dropped"] > 0.2
    assert ldb.state_dict()["scaled"]


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
