"""Models that keep what they computed, or hold what cannot be copied: no copy is ever made."""

import io
import threading
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from attached import each_but_branch, each_strategy
from by_hand import CLASSES, Beside, block, loss_of, never_dropped
from zoo import Skip


def pruned(layer):
    return prune.l1_unstructured(layer, "weight", amount=0.3)


def quiet(function):
    """Torch warns that it is deprecated."""

    def wrap(layer):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(layer)

    return wrap


# Their weights are computed anew before each call, and kept as attributes with a graph.
WRAPS = {
    "weight norm": quiet(nn.utils.weight_norm),
    "spectral norm": quiet(nn.utils.spectral_norm),
    "pruned": pruned,
    "parametrized": parametrizations.weight_norm,
}


@each_strategy
@pytest.mark.parametrize("name", WRAPS)
def test_weights_that_are_computed_in_each_call(name, strategy):
    def make():
        wrap = WRAPS[name]

        def skip():
            return Skip(nn.Sequential(wrap(nn.Linear(8, 8)), nn.Tanh(), wrap(nn.Linear(8, 8))))

        return nn.Sequential(nn.Linear(8, 8), skip(), skip(), wrap(nn.Linear(8, CLASSES)))

    if strategy != "branch":  # what lies before a dropped branch gets another gradient
        assert Beside(make, strategy).train()["drop_steps"] == 9
        return
    stats = Beside(make, strategy).train_alone()
    assert never_dropped(stats) == {"0", "3"}


class Keeping(nn.Module):
    """Refuses copies and pickles, and keeps something."""

    def __init__(self, kept):
        super().__init__()
        self.kind, self.kept = kept, KEPT[kept]()
        self.stem, self.blocks = nn.Linear(8, 8), nn.Sequential(block(), block(), block())
        self.head = nn.Linear(8, CLASSES)
        self.maps, self.auxiliary = [], 0.0

    def __deepcopy__(self, memo):
        raise RuntimeError("no copies")

    def __reduce_ex__(self, protocol):
        raise RuntimeError("no pickles")

    def forward(self, x):
        x, self.maps, self.auxiliary = self.stem(x), [], 0.0
        for inner in self.blocks:
            x = inner(x)
            if self.kind != "nothing":
                self.maps.append(x)
                self.auxiliary = self.auxiliary + x.square().mean()
        return self.head(x)


KEPT = {
    "nothing": lambda: None,
    "lock": threading.Lock,
    "file": io.StringIO,
    "generator": torch.Generator,
    "iterator": lambda: iter([1]),
    "function": lambda: lambda: None,
}


@each_strategy
@pytest.mark.parametrize("kept", [name for name in KEPT if name != "nothing"])
def test_what_is_kept_changes_nothing(kept, strategy):
    plain, keeping = (
        Beside(lambda name=name: Keeping(name), strategy) for name in ("nothing", kept)
    )
    assert plain.train_alone()["times_dropped"] == keeping.train_alone()["times_dropped"]
    for one, other in zip(plain.model.parameters(), keeping.model.parameters(), strict=True):
        assert torch.equal(one, other)


@each_but_branch
def test_a_loss_that_is_kept_as_an_attribute(strategy):
    """As mixtures of experts have it, and distillation with its features."""

    def passes(model):
        loss = loss_of(model(torch.randn(4, 8)))
        (loss + 0.1 * model.auxiliary + sum(x.mean() for x in model.maps)).backward()

    assert Beside(lambda: Keeping("lock"), strategy).train(passes)["drop_steps"] == 9


class WeightDrop(nn.Module):
    """As in AWD-LSTM: another weight for each call, set as an attribute of the module inside."""

    def __init__(self, inner):
        super().__init__()
        self.inner, weight = inner, inner.weight_hh_l0
        del inner.weight_hh_l0
        self.raw = nn.Parameter(weight.detach())
        inner.weight_hh_l0 = weight.detach()

    def forward(self, x, state):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the weights are not one piece of memory
            self.inner.weight_hh_l0 = nn.functional.dropout(self.raw, 0.5, self.training)
            return self.inner(x, state)


class Stateful(nn.Module):
    """Goes on with the state that the last batch left, without its graph."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(11, 8), nn.Linear(8, CLASSES)
        self.layers = nn.ModuleList(WeightDrop(nn.LSTM(8, 8, batch_first=True)) for _ in range(2))
        self.states = [None, None]

    def forward(self, x):
        x = self.words(x)
        for number, layer in enumerate(self.layers):
            x, state = layer(x, self.states[number])
            self.states[number] = tuple(part.detach() for part in state)
        return self.head(x[:, -1])


@each_but_branch
def test_a_language_model_that_keeps_its_state(strategy):
    def passes(model):
        loss_of(model(torch.randint(11, (4, 5)))).backward()

    assert Beside(Stateful, strategy).train(passes)["drop_steps"] == 9


@each_strategy
def test_a_scripted_module_inside(strategy):
    """It takes no hooks, so nothing can be detached there."""

    def make():
        scripted = quiet(torch.jit.script)(nn.Linear(8, 8))
        return nn.Sequential(nn.Linear(8, 8), block(), scripted, nn.Linear(8, CLASSES))

    assert Beside(make, strategy).train_alone()["drop_steps"] == 11
