"""Promise 12: a loop in which nothing can be saved hears it, once, within ten steps."""

import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import linear

from by_hand import heard, loss_of
from layerdropback import AttachError, Schedule, Truncate
from layerdropback.engine.watch import AGAIN, STEPS
from watched_loops import Loop, halves, plain

# ---- loops that save nothing ---------------------------------------------------------------------


@pytest.mark.parametrize("loaded", [False, True])
def test_no_epoch_is_open(loaded):
    loop = Loop()
    if loaded:
        loop.ldb.load_state_dict(loop.ldb.state_dict())
    with heard() as texts:
        for _ in range(STEPS - 1):
            plain(loop)
    assert texts == []
    with heard() as texts:
        for _ in range(2 * STEPS):
            plain(loop)
    (text,) = texts
    assert text == (
        "10 steps, and no epoch was begun: nothing is dropped. Cause: the loop does not tell "
        "LayerDropBack of its epochs. Cure: for batch in ldb.epoch(loader, epoch): ..., or "
        "ldb.begin_epoch(epoch)."
    )


def test_no_epoch_with_several_optimizers():
    loop = Loop(optimizers=halves)
    with heard() as texts:
        for _ in range(STEPS + 1):
            plain(loop)
    (text,) = texts
    assert text.startswith("10 steps, and no epoch was begun")


def test_an_epoch_that_was_begun_once_is_enough():
    loop = Loop()
    assert loop.train(plain, epochs=1) == []
    with heard() as texts:
        for _ in range(2 * STEPS):  # a validation that trains, say
            plain(loop)
    assert texts == []


def by_parts(loop):
    """Deeper ones than the model's own children, which would be seen."""
    first, *blocks, head = loop.model
    x = linear(torch.randn(4, 8), first.weight)
    for block in blocks:
        x = x + block.inner(x)
    x = linear(x, head.weight)
    loss_of(x).backward()
    loop.step()


def test_only_parts_of_the_model_are_called():
    (text,) = Loop().train(by_parts)
    assert text.startswith("dropping saves nothing: Sequential was not called in a drop step")
    assert "Cure: call model(...), or attach to the module you call" in text
    with pytest.raises(AttachError, match="Sequential itself was not called in the step that"):
        Loop(strategy=Truncate(0.4)).train(by_parts)


def of_made_weights(loop):
    """Weights made of the parameters, as a moving average within the graph or MAML has them."""
    weights = {name: 1.0 * p for name, p in loop.model.named_parameters()}
    loss_of(functional_call(loop.model, weights, (torch.randn(4, 8),))).backward()
    loop.step()


def test_the_model_is_called_with_weights_made_of_its_own():
    (text,) = Loop().train(of_made_weights)
    assert text.startswith("dropping saves nothing: gradients are computed for dropped '")
    assert "Cause: the forward pass used tensors made of the parameters before it began" in text


def test_an_optimizer_that_never_steps():
    def body(loop):
        loop.passes()
        loop.optimizer.step()
        loop.model.zero_grad()

    (text,) = Loop(optimizers=halves).train(body)
    assert text == (
        "10 steps of SGD, and none of 'AdamW' was seen. Cause: a mask holds until every attached "
        "optimizer has stepped. Cure: attach just the optimizers whose step() the loop calls."
    )


def by_hand(loop):
    loop.passes()
    with torch.no_grad():
        for parameter in loop.model.parameters():
            if parameter.grad is not None:
                parameter -= 0.05 * parameter.grad
    loop.model.zero_grad()


def late_zero(loop):
    """The gradients are zeroed between the passes, so some are always there."""
    loss = loss_of(loop.model(torch.randn(4, 8)))
    loop.model.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in loop.model.parameters():
            if parameter.grad is not None:
                parameter -= 0.05 * parameter.grad


@pytest.mark.parametrize("body", [by_hand, late_zero])
def test_a_step_that_is_no_optimizers(body):
    (text,) = Loop().train(body, epochs=1, steps=STEPS)
    assert " times, and no step of 'SGD' was seen: no mask is drawn" in text


# ---- how long it looks ---------------------------------------------------------------------------

HALF = Truncate(0.5, depth="fixed")


def looked_at(loop, epoch, steps=STEPS + 3):
    watch, looked = loop.ldb._engine.windows.watch, []
    for _ in loop.ldb.epoch(range(steps), epoch):
        looked.append(watch.is_on)
        plain(loop)
    return looked


def test_it_looks_at_ten_windows_and_at_two_of_each_later_epoch():
    loop = Loop(strategy=HALF)
    assert looked_at(loop, 0) == [True] * STEPS + [False] * 3
    # The very first window is recorded, and drops nothing.
    assert looked_at(loop, 1) == [True] * AGAIN + [False] * (STEPS + 1)
    loop.ldb.load_state_dict(loop.ldb.state_dict())
    assert looked_at(loop, 2) == [True] * AGAIN + [False] * (STEPS + 1)


def test_ten_drop_windows_are_looked_at_in_however_many_epochs():
    loop = Loop(strategy=HALF, schedule=Schedule(every=2, start=1))
    looked = [sum(looked_at(loop, epoch, steps=4)) for epoch in range(8)]
    assert looked == [4] * 4 + [AGAIN] * 4
