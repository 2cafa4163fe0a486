"""What is done when a step raises, and that nothing of it stays on the optimizer."""

import gc
import weakref

import pytest
import torch

from layerdropback.engine.hooks import on_failed_step


def optimizer_of():
    return torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1)


def schedule(optimizer):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)


def fail():
    raise KeyError("the user's own")


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize(("closure", "error"), [(fail, KeyError), (interrupt, KeyboardInterrupt)])
def test_it_reacts_to_what_a_step_raises_and_passes_it_on(closure, error):
    optimizer, calls = optimizer_of(), []
    on_failed_step(optimizer, lambda: calls.append(1))
    with pytest.raises(error):
        optimizer.step(closure)
    assert calls == [1]
    with pytest.raises(error):
        optimizer.step(closure=closure)
    assert calls == [1, 1]


def test_a_step_that_ends_well_is_the_plain_one():
    optimizer, calls = optimizer_of(), []
    on_failed_step(optimizer, lambda: calls.append(1))
    (weight,) = optimizer.param_groups[0]["params"]

    def closure():
        weight.grad = torch.ones(1)
        return 7.0

    assert optimizer.step(closure) == 7.0
    assert weight.item() == pytest.approx(0.9)
    assert calls == []


def test_other_optimizers_are_left_alone():
    optimizer, other, calls = optimizer_of(), optimizer_of(), []
    on_failed_step(optimizer, lambda: calls.append(1))
    with pytest.raises(KeyError):
        other.step(fail)
    assert calls == []


def test_undoing_leaves_no_trace():
    optimizer = optimizer_of()
    before = dict(vars(optimizer))
    undo = on_failed_step(optimizer, lambda: None)
    undo()
    undo()
    assert vars(optimizer) == before


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")  # torch's, up to 2.8
@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_a_scheduler_may_come_at_any_time(when):
    """One warns where its own function is not called, and warnings are errors."""
    optimizer, calls = optimizer_of(), []
    scheduler = schedule(optimizer) if when == "before" else None
    undo = on_failed_step(optimizer, lambda: calls.append(1))
    scheduler = schedule(optimizer) if when == "between" else scheduler
    with pytest.raises(KeyError):
        optimizer.step(fail)
    assert calls == [1]
    undo()
    scheduler = scheduler or schedule(optimizer)
    with pytest.raises(KeyError):
        optimizer.step(fail)
    optimizer.step()
    scheduler.step()
    assert calls == [1], "it is undone"


@pytest.mark.parametrize("first", [0, 1])
def test_two_are_undone_in_either_order(first):
    optimizer, calls = optimizer_of(), []
    undos = [on_failed_step(optimizer, lambda n=n: calls.append(n)) for n in range(2)]
    undos.pop(first)()
    with pytest.raises(KeyError):
        optimizer.step(fail)
    assert calls == [1 - first]
    undos.pop()()
    with pytest.raises(KeyError):
        optimizer.step(fail)
    assert calls == [1 - first]


def test_a_users_own_function_is_called_and_is_there_again():
    optimizer, calls = optimizer_of(), []

    def own(closure=None):
        calls.append(closure)
        raise KeyError

    optimizer.step = own
    undo = on_failed_step(optimizer, lambda: calls.append("reacted"))
    with pytest.raises(KeyError):
        optimizer.step(fail)
    assert calls == [fail, "reacted"]
    undo()
    assert optimizer.step is own


def test_it_holds_no_optimizer_alive():
    optimizer = optimizer_of()
    undo = on_failed_step(optimizer, lambda: None)
    witness = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert witness() is None
    undo()


def test_arguments_of_any_name_are_passed_on():
    seen = []

    class Named(torch.optim.SGD):
        def step(self, closure=None, *, step=None, optimizer=None):
            seen.append((step, optimizer))

    optimizer = Named([torch.ones(1, requires_grad=True)], lr=0.1)
    on_failed_step(optimizer, lambda: None)
    optimizer.step(step=3, optimizer="its own")
    assert seen == [(3, "its own")]
