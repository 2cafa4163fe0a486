"""What verify=True and every run find in an optimizer's step."""

import pytest
import torch

from layerdropback import LayerDropBack, Schedule, Uniform, VerificationError
from layerdropback.engine.steps import Verifier, check_gradients
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


class Late(Decays):
    """Behaves for longer than every run looks."""

    calls = 0

    def step(self, closure=None):
        self.calls += 1
        if self.calls > 50:
            super().step(closure)
        else:
            torch.optim.SGD.step(self, closure)


class Lookahead(torch.optim.SGD):
    """Every sixth step moves all weights towards slow ones, kept outside the optimizer state."""

    calls = 0

    @torch.no_grad()
    def step(self, closure=None):
        torch.optim.SGD.step(self, closure)
        parameters = [p for group in self.param_groups for p in group["params"]]
        if not self.calls:
            self.slow = [p.clone() for p in parameters]
        self.calls += 1
        if self.calls % 6 == 0:
            for slow, parameter in zip(self.slow, parameters, strict=True):
                slow.lerp_(parameter, 0.5)
                parameter.copy_(slow)


def train(kind, verify, epochs=2, batches=3):
    entry = ZOO["mlp"]
    model = entry.model()
    optimizer = kind(model.parameters(), lr=0.1, momentum=0.9)
    ldb = LayerDropBack(model, optimizer, Uniform(0.9), verify=verify)
    entry.train(ldb, model, optimizer, range(epochs), batches)
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
    train(Late, verify=False, batches=30)
    with pytest.raises(VerificationError, match="dropped in step 5."):
        train(Late, verify=True, batches=30)


def test_slow_weights_that_are_synchronised_every_few_steps_are_found():
    with pytest.raises(VerificationError, match="Lookahead changed the value"):
        train(Lookahead, verify=False, batches=12)


def test_a_kept_layer_without_a_gradient_is_found():
    entry = ZOO["mlp"]
    model = entry.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ldb = LayerDropBack(model, optimizer, Uniform(0.1), seed=1, verify=True)
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
    ldb = LayerDropBack(model, optimizer, Uniform(0.9), verify=True)
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
    ldb = LayerDropBack(model, optimizer, Uniform(0.99), Schedule(every=1, start=0), verify=True)
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


# ---- by itself -----------------------------------------------------------------------------------


def named(count=100):
    parameter = torch.nn.Parameter(torch.zeros(count))
    return [("layer", "layer.weight", parameter)], torch.optim.SGD([parameter], lr=0.1)


@pytest.mark.parametrize(("limit", "found"), [(None, True), (64, False)])
def test_with_a_limit_just_the_first_numbers_are_compared(limit, found):
    dropped, optimizer = named()
    verifier = Verifier(limit)
    verifier.before(optimizer, dropped)
    dropped[0][2].data[-1] = 1
    if found:
        with pytest.raises(VerificationError, match="'layer' was dropped in step 7.*the value of"):
            verifier.after(optimizer, 7)
    else:
        verifier.after(optimizer, 7)


def test_what_was_compared_once_is_forgotten():
    dropped, optimizer = named()
    verifier = Verifier()
    verifier.before(optimizer, dropped)
    verifier.after(optimizer, 0)
    dropped[0][2].data[0] = 1
    verifier.after(optimizer, 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [(torch.zeros(2), torch.zeros(3)), (1, 2), (1, 1.0), (torch.zeros(2), 0), (None, 1)],
)
def test_any_change_of_the_optimizers_state_is_told(before, after):
    dropped, optimizer = named()
    optimizer.state[dropped[0][2]]["kept"] = before
    verifier = Verifier()
    verifier.before(optimizer, dropped)
    optimizer.state[dropped[0][2]]["kept"] = after
    with pytest.raises(VerificationError, match="SGD changed the state 'kept' of its parameter"):
        verifier.after(optimizer, 0)


def test_a_frozen_layer_needs_no_gradient():
    kept, _ = named()
    with pytest.raises(VerificationError, match="'layer' was kept in step 3.*has no gradient"):
        check_gradients(kept, 3)
    kept[0][2].requires_grad_(False)
    check_gradients(kept, 3)
