"""Promise 5: one mask for each optimizer step, however many batches it accumulates."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attached import (
    UNITS,
    attach,
    dropped_names,
    dropping,
    each_but_branch,
    each_strategy,
    flags,
    sgd,
    small,
    snapshot,
    unmoved,
)
from layerdropback import LayerDropBack, Schedule
from zoo import ZOO

ALWAYS = Schedule(every=1, start=0)


@each_strategy
def test_a_mask_holds_for_every_micro_batch_and_over_the_epochs_end(strategy):
    entry = small(strategy)
    model = entry.model()
    ldb, optimizer = attach(model, strategy, lr_scale=2.0)
    batches, window, factors = 0, [], []
    for epoch in range(6):
        for batch in ldb.epoch(entry.batches(5), epoch):  # 5 batches, windows of 3: they straddle
            entry.backward(model, batch)
            window.append(None if ldb.mask is None else ldb.mask.tolist())
            batches += 1
            if batches % 3 == 0:
                assert window == [window[0]] * 3
                factors.append(ldb.stats()["lr_factor"])
                before, dropped = snapshot(model, optimizer), dropped_names(ldb)
                optimizer.step()
                assert unmoved(before, snapshot(model, optimizer)) == dropped
                optimizer.zero_grad()
                window = []
        assert all(flags(model).values())
    # Windows begin at batches 0, 3, 6, ...; each has the mode of the epoch in which it began.
    assert factors == [2.0 if (3 * w // 5) % 2 else 1.0 for w in range(10)]


@each_strategy
@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 5), min_size=2, max_size=6),
    window=st.integers(1, 4),
    every=st.integers(1, 3),
    start=st.integers(0, 2),
    zero_first=st.booleans(),
    to_none=st.booleans(),
    unit=st.sampled_from(UNITS),
)
def test_any_windows_in_any_epochs(
    strategy, lengths, window, every, start, zero_first, to_none, unit
):
    """Whatever the loop: each window has one mask, that of the epoch in which it began."""
    entry = small(strategy)
    model = entry.model()
    schedule = Schedule(every=every, start=start)
    ldb, optimizer = attach(model, dropping(strategy, 0.7, unit=unit), schedule=schedule)
    (batch,) = entry.batches(1)
    began, masks, steps = None, [], 0
    for epoch, length in enumerate(lengths):
        for _ in ldb.epoch(range(length), epoch):
            if began is None:
                began, masks = epoch, []
                if zero_first:
                    optimizer.zero_grad(set_to_none=to_none)
            entry.backward(model, batch)
            masks.append(None if ldb.mask is None else tuple(ldb.mask))
            assert all(flags(model).values())
            if len(masks) == window:
                drops = began >= start and (began - start) % every == 0 and steps > 0
                assert set(masks) == {masks[0]}
                assert (masks[0] is not None) == drops
                before, dropped = snapshot(model, optimizer), dropped_names(ldb)
                optimizer.step()
                assert unmoved(before, snapshot(model, optimizer)) == dropped
                steps += 1
                began = None
                if not zero_first:
                    optimizer.zero_grad(set_to_none=to_none)
    assert ldb.stats()["step"] == steps
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("zero_first", [True, False])
def test_stale_gradients_do_not_look_like_an_open_window(zero_first):
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model)
    for epoch in range(4):
        for batch in ldb.epoch(entry.batches(2), epoch):
            assert (ldb.mask is not None) == (epoch % 2 == 1)
            if zero_first:
                optimizer.zero_grad()
            entry.backward(model, batch)
            optimizer.step()
            if not zero_first:
                optimizer.zero_grad(set_to_none=False)


def test_gradients_that_were_thrown_away_are_no_open_window():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model)
    for epoch in range(3):
        for batch in ldb.epoch(entry.batches(2), epoch):
            assert (ldb.mask is not None) == (epoch == 1)
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
            entry.backward(model, batch)  # a loss that the user decides to skip
            optimizer.zero_grad()


@each_strategy
@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_grad_scaler_skips(fused, strategy):
    entry = small(strategy)
    model = entry.model()
    ldb, optimizer = attach(model, strategy, sgd(model, fused=fused), schedule=ALWAYS)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    rates = set()
    for epoch in range(2):
        for number, batch in enumerate(ldb.epoch(entry.batches(6), epoch)):
            before, dropped = snapshot(model, optimizer), dropped_names(ldb)
            output = entry.select(model(batch[0]))
            scaler.scale(entry.loss(output, batch[1])).backward()
            overflow = number in (2, 5)
            if overflow:
                next(p for p in model.parameters() if p.grad is not None).grad[0] = torch.inf
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
            after = snapshot(model, optimizer)
            still = {key for key in before if torch.equal(before[key][0], after[key][0])}
            assert still == (set(before) if overflow else dropped)
            rates.add(optimizer.param_groups[0]["lr"])
            optimizer.zero_grad()
    assert rates == {0.1}
    assert all(flags(model).values())
    # An optimizer that is not called counts no step; a fused one is called and skips by itself.
    assert ldb.stats()["step"] == (12 if fused else 8)


@each_strategy
def test_steps_with_a_closure(strategy):
    entry = small(strategy)
    model = entry.model()
    ldb, optimizer = attach(model, strategy)
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(3), epoch):

            def closure(batch=batch):
                optimizer.zero_grad()
                return entry.backward(model, batch)

            before, dropped = snapshot(model, optimizer), dropped_names(ldb)
            optimizer.step(closure)
            assert unmoved(before, snapshot(model, optimizer)) == dropped


@each_but_branch
def test_several_optimizers_share_a_mask_until_each_has_stepped(strategy):
    entry = ZOO["mlp"]
    model = entry.model()
    first = torch.optim.SGD([*model[0].parameters(), *model[2].parameters()], lr=0.1, momentum=0.9)
    second = torch.optim.AdamW(model[4].parameters(), lr=0.01)
    share = 0.2 if strategy == "truncate" else 0.9  # the first optimizer's last layer is kept
    ldb = LayerDropBack(model, [first, second], dropping(strategy, share), verify=True)
    for epoch in range(4):
        for batch in ldb.epoch(entry.batches(4), epoch):
            before = model[2].weight.detach().clone()
            entry.backward(model, batch)
            mask = None if ldb.mask is None else ldb.mask.tolist()
            first.step()
            assert (None if ldb.mask is None else ldb.mask.tolist()) == mask
            second.step()
            for optimizer in (first, second):
                optimizer.zero_grad()
            assert not torch.equal(before, model[2].weight), "each optimizer keeps its last layer"
    times = ldb.stats()["times_dropped"]
    assert times["0"] > 0
    assert times["2"] == times["4"] == 0
    assert ldb.stats()["step"] == 16
