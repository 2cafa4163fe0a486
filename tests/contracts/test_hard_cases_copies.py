"""Copies of odd models, attachments that fail, and what torch.compile does to either."""

import copy
import pickle

import pytest
import torch
from torch import nn

from attached import attach, dropped_names, flags, sgd, snapshot, unmoved
from layerdropback import AttachError, LayerDropBack, Schedule, Uniform
from layerdropback.interop.compiling import compile_ignores_flags
from loops import steps
from zoo import ZOO, mlp

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called")


def hooks_and_names(model):
    return [
        (sorted(vars(module)), [list(getattr(module, table)) for table in HOOKS])
        for module in model.modules()
    ]


class CopiesItself(nn.Sequential):
    """Copies its dictionary by itself, as some models do."""

    def __deepcopy__(self, memo):
        twin = type(self)()
        twin.__dict__.update(copy.deepcopy(vars(self), memo))
        return twin


@pytest.mark.parametrize("kind", ["own", "fx"])
def test_copies_of_models_that_copy_themselves(kind):
    model = CopiesItself(*mlp()) if kind == "own" else torch.fx.symbolic_trace(mlp())
    plain = hooks_and_names(copy.deepcopy(model))
    ldb, optimizer = attach(model, Uniform(0.95))
    steps(ldb, model, optimizer, 0)
    with ldb.epoch(None, 1):
        output = model(torch.randn(2, 8))
        twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        for twin in twins:
            assert hooks_and_names(twin) == plain
            assert all(flags(twin).values())
            twin[0].weight.data.zero_() if kind == "own" else getattr(twin, "0").weight.data.zero_()
            again = pickle.loads(pickle.dumps(twin))
            assert any((p == 0).all() for p in again.parameters()), "it must pickle itself"
        output.sum().backward()
        optimizer.step()
    assert ldb.stats()["drop_steps"] == 1


def test_a_users_own_deepcopy_on_the_instance_is_there_again():
    model = mlp()
    own = vars(model)["__deepcopy__"] = lambda memo: "mine"
    ldb, _ = attach(model)
    ldb.detach()
    assert vars(model)["__deepcopy__"] is own
    assert copy.deepcopy(model) == "mine"


def test_an_attachment_that_fails_leaves_nothing(monkeypatch):
    model = mlp()
    optimizer = sgd(model)

    def everything():
        tables = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
        of_optimizer = [list(getattr(optimizer, table)) for table in tables]
        return hooks_and_names(model), sorted(vars(optimizer)), of_optimizer

    before = everything()

    def fails(*args, **settings):
        raise RuntimeError("no hooks here")

    monkeypatch.setitem(vars(model), "register_forward_hook", fails)
    with pytest.raises(RuntimeError, match="no hooks here"):
        LayerDropBack(model, optimizer)
    monkeypatch.undo()
    assert everything() == before


# ---- torch.compile -------------------------------------------------------------------------------

ignored = pytest.mark.skipif(not compile_ignores_flags(), reason="from 2.12 on flags are seen")
seen = pytest.mark.skipif(compile_ignores_flags(), reason="before 2.12 flags are ignored")


def compiled_whole():
    model = mlp()
    return model, torch.compile(model, backend="aot_eager")


@ignored
def test_a_compiled_whole_is_refused_and_nothing_is_left():
    model, compiled = compiled_whole()
    before = [sorted(vars(m)) for m in (model, compiled)]
    with pytest.raises(AttachError, match="silently wrong"):
        LayerDropBack(compiled, sgd(model))
    assert [sorted(vars(m)) for m in (model, compiled)] == before


@seen
def test_copies_of_a_compiled_whole():
    model, compiled = compiled_whole()
    before = [sorted(vars(m)) for m in (model, compiled)]
    ldb = LayerDropBack(compiled, sgd(model), Uniform(0.9))
    for twin in (copy.deepcopy(compiled), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in twin.modules())
    ldb.detach()
    assert [sorted(vars(m)) for m in (model, compiled)] == before
    copy.deepcopy(compiled)


def compiled_later(how):
    entry = ZOO["auxiliary"]
    model = entry.model()
    ldb = LayerDropBack(model, sgd(model), Uniform(0.7), Schedule(every=1, start=1))
    if how == "in place":
        model.compile(backend="aot_eager")
        return entry, ldb, model
    return entry, ldb, torch.compile(model, backend="aot_eager")


def test_a_model_that_is_compiled_in_place_after_the_attachment_is_told():
    _, ldb, _ = compiled_later("in place")
    with pytest.raises(AttachError, match="compiled in place as a whole"):
        ldb.epoch([], 0)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler's own
def test_a_model_that_is_wrapped_after_the_attachment_is_told_in_its_first_steps():
    """Older compilers follow hooks: there the recorded step runs uncompiled, the next one not."""
    torch._dynamo.reset()
    entry, ldb, called = compiled_later("wrapped")
    with (
        pytest.raises(AttachError, match="compiled as a whole after.*block by block"),
        ldb.epoch(None, 0),
    ):
        for batch in entry.batches(2):
            entry.backward(called, batch)
            ldb.optimizers[0].step()


WHOLE = pytest.param("whole", marks=seen)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler's own
@pytest.mark.parametrize("how", [WHOLE, "by block"])
def test_compiled_models_keep_their_classifier_and_follow_the_mask(how):
    torch._dynamo.reset()
    entry = ZOO["tied_gpt" if how == "by block" else "auxiliary"]
    model = entry.model()
    called = model
    if how == "by block":
        for block in model.blocks:
            block.compile(backend="aot_eager")
    else:
        called = torch.compile(model, backend="aot_eager")
    optimizer = sgd(model)
    strategy = Uniform(0.7, unit="block" if how == "by block" else "layer")
    ldb = LayerDropBack(called, optimizer, strategy, Schedule(every=1, start=1), verify=True)
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(6), epoch):
            before, dropped = snapshot(model, optimizer), dropped_names(ldb)
            entry.backward(called, batch)
            has = {name for name, p in model.named_parameters() if p.grad is not None}
            assert has == set(flags(model)) - dropped
            optimizer.step()
            assert unmoved(before, snapshot(model, optimizer)) == dropped
            optimizer.zero_grad()
    counts = ldb.stats()["times_dropped"]
    kept = {name for name, times in counts.items() if not times}
    assert kept == {entry.head, *entry.ends}


def test_a_compiled_optimizer_step_runs_in_python():
    torch._dynamo.reset()
    model = mlp()
    ldb, optimizer = attach(model)
    step = torch.compile(lambda: optimizer.step(), backend="eager")
    for epoch in range(2):
        for _ in ldb.epoch(range(2), epoch):
            model(torch.randn(2, 8)).sum().backward()
            step()
            optimizer.zero_grad()
    assert ldb.stats()["drop_steps"] == 2
