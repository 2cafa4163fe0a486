"""A second phase of training with a new optimizer, while the old one is attached; or the same one,
given new settings, groups or state.
"""

import copy

import pytest
import torch

from attached import attach, sgd
from by_hand import heard, plain_passes, skip_net
from layerdropback import LayerDropBack, Schedule


class Phases:
    """A model that is trained for two epochs, full and dropping, before something changes."""

    def __init__(self):
        self.model = skip_net()
        self.ldb, self.optimizer = attach(self.model, lr_scale=2.0, schedule=Schedule())
        self.train(0)
        self.train(1)

    def train(self, epoch, steps=10):
        """An epoch; its masks, and whether the head moved by its gradient times twice the rate."""
        masks, scaled, bias = set(), [], self.model[-1].bias
        for _ in self.ldb.epoch(range(steps), epoch):
            masks.add(None if self.ldb.mask is None else tuple(self.ldb.mask))
            before = bias.detach().clone()
            plain_passes(self.model)
            expected = before - 2 * self.optimizer.param_groups[0]["lr"] * bias.grad
            self.optimizer.step()
            self.optimizer.zero_grad()
            scaled.append(torch.allclose(bias, expected))
        return masks, scaled


def test_a_new_optimizer_of_a_second_phase_is_told_once():
    run = Phases()
    run.optimizer = torch.optim.SGD(run.model.parameters(), lr=0.01)
    with heard() as texts:
        for epoch in (2, 3):
            masks, _ = run.train(epoch)
    assert len(masks) == 1
    (text,) = texts
    assert text.startswith("weights moved 3 times, and no step of 'SGD' was seen")
    assert "Cure: attach the optimizers whose step() the loop calls; detach() first" in text


def test_attaching_anew_is_the_cure():
    run = Phases()
    run.ldb.detach()
    run.optimizer = torch.optim.SGD(run.model.parameters(), lr=0.01)
    run.ldb = LayerDropBack(run.model, run.optimizer, lr_scale=2.0)
    run.train(0)
    masks, scaled = run.train(1)
    assert len(masks) > 5
    assert all(scaled)


def restored(optimizer):
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def regrouped(optimizer):
    """As fastai's discriminative rates."""
    (group,) = optimizer.param_groups
    optimizer.param_groups = [
        {**group, "params": [parameter], "lr": 0.01} for parameter in group["params"]
    ]


def cleared(optimizer):
    optimizer.state.clear()


@pytest.mark.parametrize("change", [restored, regrouped, cleared])
def test_the_same_optimizer_goes_on(change):
    run = Phases()
    change(run.optimizer)
    for group in run.optimizer.param_groups:
        group.update(momentum=0.0, weight_decay=0.0, lr=0.01)
    run.train(2)
    masks, scaled = run.train(3)
    assert len(masks) > 5
    assert all(scaled)


def test_a_copy_of_the_optimizer_is_a_new_one():
    run = Phases()
    run.optimizer = copy.deepcopy(run.optimizer)
    run.optimizer.param_groups = run.ldb.optimizers[0].param_groups  # of this model's weights
    with pytest.warns(UserWarning, match="no step of 'SGD' was seen"):
        run.train(2)


def test_a_second_optimizer_of_the_same_weights_harms_nothing():
    """It moves only what has a gradient."""
    run = Phases()
    run.train(2)
    extra = sgd(run.model)
    for _ in run.ldb.epoch(range(10), 3):
        plain_passes(run.model)
        extra.step()
        run.optimizer.step()
        run.optimizer.zero_grad()
    assert run.ldb.stats()["step"] == 40
