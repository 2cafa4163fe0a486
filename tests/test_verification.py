"""verify=True finds what breaks the promises, and every run looks once."""

import pytest
import torch

from layerdropback import LayerDropBack, VerificationError
from zoo import ZOO, mlp


class Decays(torch.optim.SGD):
    """Moves every weight, gradient or not."""

    @torch.no_grad()
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.mul_(0.9)


class Remembers(torch.optim.SGD):
    """Leaves the weights alone but counts in the state of every parameter."""

    @torch.no_grad()
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["seen"] = state.get("seen", 0) + 1


class EverySecond(Decays):
    """Behaves in its first four steps, as a Lookahead does."""

    calls = 0

    def step(self, closure=None):
        self.calls += 1
        if self.calls > 4:
            super().step(closure)
        else:
            torch.optim.SGD.step(self, closure)


def train(kind, verify, epochs=2, batches=3):
    entry = ZOO["mlp"]
    model = entry.model()
    optimizer = kind(model.parameters(), lr=0.1, momentum=0.9)
    ldb = LayerDropBack(model, optimizer, drop_rate=0.9, verify=verify)
    for epoch in range(epochs):
        for batch in ldb.epoch(entry.batches(batches), epoch):
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
    return ldb


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(("kind", "what"), [(Decays, "value"), (Remembers, "state 'seen'")])
def test_an_optimizer_that_moves_dropped_layers_is_refused_at_its_first_drop_step(
    kind, what, verify
):
    message = f"layer '.' was dropped in step 3, but {kind.__name__} changed the {what} of its"
    with pytest.raises(VerificationError, match=message):
        train(kind, verify)


def test_what_happens_only_later_is_found_by_verify_alone():
    train(EverySecond, verify=False)
    with pytest.raises(VerificationError, match="dropped in step 4"):
        train(EverySecond, verify=True)


def test_a_kept_layer_without_a_gradient_is_found():
    entry = ZOO["mlp"]
    model = entry.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ldb = LayerDropBack(model, optimizer, verify=True, drop_rate=0.1, seed=1)
    with ldb.epoch(None, 0):
        entry.backward(model, entry.batches(1)[0])
        optimizer.step()
    with ldb.epoch(None, 1):
        assert not ldb.mask.any()
        entry.backward(model, entry.batches(1)[0])
        model[2].weight.grad = None
        with pytest.raises(
            VerificationError,
            match="layer '2' was kept in step 1, but its parameter '2.weight' has",
        ):
            optimizer.step()


def test_weights_that_are_nan_have_not_moved():
    entry = ZOO["mlp"]
    model = entry.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ldb = LayerDropBack(model, optimizer, verify=True, drop_rate=0.9)
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(2), epoch):
            if epoch == 1:
                model[0].weight.data[:] = torch.nan
            entry.backward(model, batch)
            optimizer.step()
    assert ldb.stats()["drop_steps"] == 2


def test_looking_makes_no_optimizer_state():
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    ldb = LayerDropBack(model, optimizer, verify=True, drop_rate=0.99, every=1, start=0)
    entry = ZOO["mlp"]
    entry.backward(model, entry.batches(1)[0])
    optimizer.step()
    optimizer.state.clear()
    for batch in ldb.epoch(entry.batches(1), 0):
        dropped = ldb.mask.copy()
        entry.backward(model, batch)
        optimizer.step()
    for layer, gone in zip(ldb.layers, dropped, strict=True):
        assert all((parameter in optimizer.state) != gone for parameter in layer.parameters)
