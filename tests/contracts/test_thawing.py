"""What is frozen at first and trains later, on or off, with or without a resumed run."""

import copy
import json

import pytest
import torch
from torch import nn

from attached import assert_same_weights, dropping, each_but_branch, each_strategy
from by_hand import ALWAYS, CLASSES, Beside, heard, never_dropped, plain_passes
from layerdropback import AttachError, LayerDropBack, Schedule
from thawing import NOTHING, head_alone, net, of_all, of_trained

# ---- ways to thaw, each called as an epoch begins ------------------------------------------------


def add(optimizer, module):
    frozen = [p for p in module.parameters() if not p.requires_grad]
    module.requires_grad_(True)
    if frozen:
        optimizer.add_param_group({"params": frozen, "lr": 0.02})


def backbone(epoch, model, optimizers):
    """Lightning's ``BackboneFinetuning``."""
    if epoch == 2:
        add(optimizers[0], model)


def gradually(epoch, model, optimizers):
    """From the top down, as ULMFiT has it."""
    if 0 < epoch < 5:
        add(optimizers[0], model[4 - epoch])


def by_flags(epoch, model, optimizers):
    """The same, where the optimizer holds all from the start."""
    if 0 < epoch < 5:
        model[4 - epoch].requires_grad_(True)


def in_turn(epoch, model, optimizers):
    """Other blocks in every epoch, as LISA has it."""
    for number in range(4):
        model[number].requires_grad_((number + epoch) % 2 == 0)


def from_below(epoch, model, optimizers):
    """Freezes one more in every epoch, as FreezeOut has it."""
    for number in range(4):
        model[number].requires_grad_(number >= epoch)


def bias_alone(epoch, model, optimizers):
    """In the end the last bias trains alone, for the first time: no product has a cost then."""
    model.requires_grad_(epoch < 3)
    model[-1].bias.requires_grad_(epoch >= 3)


WAYS = {
    "bias alone": (net, of_all, bias_alone),
    "backbone": (head_alone, of_trained, backbone),
    "gradually": (head_alone, of_trained, gradually),
    "by flags": (head_alone, of_all, by_flags),
    "in turn": (net, of_all, in_turn),
    "from below": (net, of_all, from_below),
}


@each_but_branch
@pytest.mark.parametrize("way", WAYS)
def test_it_trains_as_if_frozen_by_hand(way, strategy):
    make, optimizers, thaw = WAYS[way]
    pair = Beside(make, strategy, optimizers)
    with heard() as texts:
        stats = pair.train(epochs=5, steps=6, before=thaw)
    assert stats["drop_steps"] > 5
    assert len(texts) <= 1, "what cannot be dropped is told once"
    assert not any(text for text in texts if not text.startswith("no layer can be dropped"))


@each_strategy
def test_a_thawed_backbone_drops_like_the_rest(strategy):
    model = head_alone()
    optimizers = of_trained(model)
    ldb = LayerDropBack(model, optimizers, dropping(strategy, 0.4), ALWAYS, verify=True)
    with heard() as texts:
        for epoch in range(5):
            backbone(epoch, model, optimizers)
            train(model, optimizers, ldb, epoch)
    (text,) = texts
    assert text.startswith(NOTHING.format(0))
    stats = ldb.stats()
    assert stats["drop_steps"] == 3 * 6 - 1, "but for the step in which it is learnt"
    lower = {"0", "1.a", "1.norm", "1.b"} - ({"0"} if strategy == "branch" else set())
    assert not lower & never_dropped(stats)


def train(model, optimizers, ldb, epoch, thaw_at=None, steps=6):
    """One epoch, of data of its own."""
    data = torch.Generator().manual_seed(epoch)
    for step, _ in enumerate(ldb.epoch(range(steps), epoch)):
        if step == thaw_at:
            add(optimizers[0], model)
        x = torch.randn(4, 8, generator=data)
        y = torch.randint(CLASSES, (4,), generator=data)
        nn.functional.cross_entropy(model(x), y).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


@each_strategy
@pytest.mark.parametrize("schedule", [ALWAYS, Schedule(every=2, start=1)])
def test_thawing_in_the_midst_of_an_epoch(schedule, strategy):
    model = head_alone()
    optimizers = of_trained(model)
    ldb = LayerDropBack(model, optimizers, dropping(strategy, 0.4), schedule, verify=True)
    with heard():
        train(model, optimizers, ldb, 0)
        before = [p.detach().clone() for p in model[0].parameters()]
        train(model, optimizers, ldb, 1, thaw_at=2)
        assert not any(map(torch.equal, before, model[0].parameters())), "it moved at once"
        train(model, optimizers, ldb, 2)
        train(model, optimizers, ldb, 3)
    assert "1.a" not in never_dropped(ldb.stats())


def test_thawing_after_the_epoch_has_begun():
    """A callback's turn comes after LayerDropBack's."""
    model = head_alone()
    optimizers = of_trained(model)
    ldb = LayerDropBack(model, optimizers, schedule=ALWAYS, verify=True)
    ldb.begin_epoch(0)
    add(optimizers[0], model)
    for _ in range(8):
        plain_passes(model)
        optimizers[0].step()
        optimizers[0].zero_grad()
    assert ldb.stats()["drop_steps"] == 7


def test_what_was_thawed_and_forgotten_is_told():
    model = head_alone()
    optimizers = of_trained(model)
    ldb = LayerDropBack(model, optimizers, schedule=ALWAYS)
    model.requires_grad_(True)
    with pytest.raises(AttachError, match="trainable parameters are in no optimizer: '0.weight'"):
        ldb.begin_epoch(0)


# ---- resumed -------------------------------------------------------------------------------------


@each_strategy
@pytest.mark.parametrize("way", ["backbone", "gradually", "by flags", "in turn"])
@pytest.mark.parametrize("saved", [1, 2, 3])
def test_a_resumed_run_goes_on_bit_for_bit(way, saved, strategy):
    """Saved before the thaw, right before it, and after it; the loop thaws again by itself."""
    make, optimizers, thaw = WAYS[way]

    def begin(seed):
        torch.manual_seed(seed)
        model = make()
        return model, optimizers(model)

    def attach(model, held):
        return LayerDropBack(model, held, dropping(strategy, 0.4), ALWAYS, seed=7)

    def go_on(model, held, ldb, epochs):
        for epoch in epochs:
            thaw(epoch, model, held)
            train(model, held, ldb, epoch)
        return ldb.stats()["times_dropped"]

    with heard():
        model, held = begin(0)
        ldb = attach(model, held)
        go_on(model, held, ldb, range(saved))
        state = json.dumps(ldb.state_dict(), sort_keys=True)
        states = copy.deepcopy((model.state_dict(), held[0].state_dict()))
        times = go_on(model, held, ldb, range(saved, 5))
        again, other = begin(9)
        for epoch in range(saved):
            thaw(epoch, again, other)
        resumed = attach(again, other)
        again.load_state_dict(states[0])
        other[0].load_state_dict(states[1])
        resumed.load_state_dict(json.loads(state))
        assert go_on(again, other, resumed, range(saved, 5)) == times
    assert_same_weights(model, again)
    assert sum(times.values()) > 0
