"""Which window is in force, from one optimizer step to the next."""

import pytest

from attached import sgd
from engines import engine_of, learnt, passes, step
from layerdropback import Control, Schedule, Uniform
from layerdropback.engine.planner import Planner
from layerdropback.engine.window import FULL, Counters
from zoo import ZOO, mlp


def end_and_begin(windows, epoch=1):
    windows.leave_epoch()
    windows.enter_epoch(epoch)


def test_the_first_window_is_full_and_recorded_and_the_next_one_drops():
    model = mlp()
    engine, optimizer = engine_of(model)
    windows = engine.windows
    assert windows.window is FULL
    assert windows.recording.recorder is not None
    assert windows.seen.decision.records
    step(model, optimizer)
    assert windows.recording.recorder is None
    assert windows.window.mask is not None
    assert windows.seen.decision.heads == {2}


def test_a_window_is_one_until_each_of_several_optimizers_has_stepped():
    model = mlp()
    optimizers = [sgd(part) for part in (model[:4], model[4])]
    engine, *_ = learnt(model, Uniform(0.9), *optimizers)
    windows = engine.windows
    for _ in range(3):
        window = windows.window
        for optimizer in reversed(optimizers):
            assert windows.window is window
            passes(model)
            optimizer.step()
            optimizer.zero_grad()
        assert windows.window is not window
    assert windows.counters.step == 4


def test_a_window_whose_gradients_wait_goes_on_over_the_epochs_end():
    model = mlp()
    engine, optimizer = learnt(model)
    windows, window = engine.windows, engine.windows.window
    passes(model)
    windows.leave_epoch()
    assert not windows.drops
    assert windows.window is window
    windows.enter_epoch(1)
    passes(model)
    assert windows.window is window
    optimizer.step()
    assert windows.window is not window
    assert (windows.counters.epoch, windows.counters.epoch_steps) == (1, 1)


@pytest.mark.parametrize("to_none", [True, False])
def test_a_carried_window_is_given_up_where_its_gradients_are_thrown_away(to_none):
    """Many loops clear gradients only at the top, in the next epoch."""
    model = mlp()
    engine, optimizer = learnt(model, schedule=Schedule(every=2, start=0))
    windows, window = engine.windows, engine.windows.window
    passes(model)
    end_and_begin(windows)
    assert windows.window is window
    optimizer.zero_grad(set_to_none=to_none)
    passes(model)
    assert windows.window is FULL, "of the new epoch, which does not drop"


def test_with_no_gradient_the_epochs_end_is_the_windows():
    model = mlp()
    engine, _ = learnt(model)
    windows, window = engine.windows, engine.windows.window
    assert window.mask is not None
    windows.leave_epoch()
    assert windows.window is FULL
    windows.enter_epoch(1)
    assert windows.window.mask.tolist() == window.mask.tolist(), "no step was made in between"


def test_flags_that_change_before_the_first_pass_are_decided_on_anew():
    model = mlp()
    engine, optimizer = learnt(model)
    windows, window = engine.windows, engine.windows.window
    model[4].requires_grad_(False)
    passes(model)
    assert windows.window is not window
    assert windows.seen.decision.heads == {1, 2}
    assert not windows.window.mask[1], "it is the last layer now"
    window = windows.window
    model[4].requires_grad_(True)
    passes(model)
    assert windows.window is window, "not after the first pass"
    optimizer.step()
    assert windows.seen.decision.heads == {2}


def test_an_epochs_first_step_looks_again_where_something_was_never_reached():
    entry = ZOO["unreached"]
    model = entry.model()
    engine, optimizer = engine_of(model, schedule=Schedule(every=9, start=9))
    (batch,) = entry.batches(1)
    for epoch in range(2):
        if epoch:
            end_and_begin(engine.windows, epoch)
        recorded = []
        for _ in range(3):
            recorded.append(engine.windows.recording.recorder is not None)
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
        assert recorded == [True, False, False]


def test_plain_training_is_counted_and_not_looked_at():
    model = mlp()
    engine, optimizer = engine_of(model, Uniform(0))
    for _ in range(3):
        assert engine.windows.recording.recorder is None
        step(model, optimizer)
        assert engine.windows.window is FULL
    assert engine.windows.counters.step == 3


def test_the_controls_windows_have_a_mask_that_drops_nothing():
    model = mlp()
    engine, optimizer = learnt(model, Control(), lr_scale=2.0)
    window = engine.windows.window
    assert not window.mask.any()
    assert (window.parameters, window.lr_factor) == ((), 2.0)
    step(model, optimizer)
    assert engine.windows.counters.drop_steps == 1


def test_a_restarted_run_goes_on_inside_its_epoch():
    model = mlp()
    engine, optimizer = learnt(model)
    windows = engine.windows
    step(model, optimizer)
    counters = Counters.from_state(windows.counters.to_state())
    planner = Planner(windows.target, windows.settings)
    planner.knowledge.learned = windows.planner.knowledge.learned
    expected = windows.window.mask.tolist()
    step(model, optimizer)
    windows.leave_epoch()
    windows.restart(counters, planner)
    windows.enter_epoch(0)
    assert windows.counters is counters
    assert counters.epoch_steps == 2, "the epoch that was saved goes on"
    assert windows.window.mask.tolist() == expected
    end_and_begin(windows)
    assert counters.epoch_steps == 0
