"""What went wrong once, or would with an approach that looks as good: loops and wrappers in use."""

import copy
import gc
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.data import DataLoader, IterableDataset

from layerdropback import AttachError, EpochError, LayerDropBack, LoaderError, StateError
from layerdropback.interop.wrappers import compile_ignores_flags
from test_controller import attach, dropped_names, everything_in, everything_on, flags, same, sgd
from test_controller import snapshot as snapshot_of
from zoo import ZOO, Auxiliary, mlp


def steps(ldb, model, optimizer, epoch, count=3, backward=None):
    backward = backward or (lambda: model(torch.randn(2, 8)).square().mean().backward())
    for _ in ldb.epoch(range(count), epoch):
        optimizer.zero_grad()
        backward()
        optimizer.step()


def drop_counts(model, backward=None, epochs=2, count=20, **settings):
    ldb, optimizer = attach(model, **({"drop_rate": 0.8, "every": 1, "start": 1} | settings))
    for epoch in range(epochs):
        steps(ldb, model, optimizer, epoch, count, backward)
    return ldb.stats()["times_dropped"]


# ---- the classifier ------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["layer", "block", "tensor"])
@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_a_parametrized_classifier_is_kept_whole(norm, unit):
    model = mlp()
    model[4] = norm(model[4])
    counts = drop_counts(model, unit=unit)
    assert all((times == 0) == name.startswith("4") for name, times in counts.items())


def test_a_temperature_after_the_classifier_does_not_take_its_place():
    class Net(nn.Sequential):
        def __init__(self):
            super().__init__(*mlp())
            self.temperature = nn.Parameter(torch.ones(()))

        def forward(self, x):
            for module in list(self):
                x = module(x)
            return x * self.temperature.exp()

    counts = drop_counts(Net())
    assert counts["4"] == 0
    assert counts["0"] > 0
    assert counts["(root)"] > 0


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 2), nn.Linear(8, 2)

    def forward(self, x, task):
        return getattr(self, task)(self.body(x))


def test_two_heads_that_are_trained_one_after_the_other_are_both_kept():
    model = TwoHeads()

    def backward():
        for task in "ab":
            model(torch.randn(2, 8), task).sum().backward()

    counts = drop_counts(model, backward)
    assert counts["a"] == counts["b"] == 0
    assert counts["body"] > 0


def test_freezing_the_classifier_keeps_the_layer_before_it():
    model = mlp()
    ldb, optimizer = attach(model, drop_rate=0.9)
    steps(ldb, model, optimizer, 0)
    with ldb.epoch(None, 1):
        model[4].requires_grad_(False)
        for _ in range(10):
            ldb.redraw()
            assert not dropped_names(ldb) & {"2.weight", "2.bias"}
            model(torch.randn(2, 8)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        model[4].requires_grad_(True)
        ldb.redraw()
        masks = []
        for _ in range(20):
            masks.append(dropped_names(ldb))
            ldb.redraw()
        assert not any("4.weight" in names for names in masks)
        assert any("2.weight" in names for names in masks)


def test_the_roots_own_tensors_are_not_one_classifier():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            for number in range(3):
                setattr(self, f"w{number}", nn.Parameter(torch.randn(8, 8) * 0.3))

        def forward(self, x):
            return x @ self.w0 @ self.w1 @ self.w2

    counts = drop_counts(Net(), unit="tensor")
    assert counts["w2"] == 0
    assert counts["w0"] > 0
    assert counts["w1"] > 0


# ---- nothing to drop, nothing seen ---------------------------------------------------------------


def test_an_epoch_in_which_nothing_can_drop_is_full_and_said_once():
    model = mlp()
    optimizer = [torch.optim.SGD(model[i].parameters(), lr=0.1) for i in (0, 2, 4)]
    ldb = LayerDropBack(model, optimizer)
    with ldb.epoch(None, 0):
        model(torch.randn(2, 8)).sum().backward()
        for each in optimizer:
            each.step()
    ldb.begin_epoch(1)
    with pytest.warns(UserWarning, match="no layer can be dropped in drop epoch 1, which trains"):
        model(torch.randn(2, 8))
    assert ldb.mask is None
    assert ldb.stats()["lr_factor"] == 1.0
    ldb.begin_epoch(3)
    model(torch.randn(2, 8))


def test_gradual_unfreezing_from_the_head_down():
    model = mlp()
    model[0].requires_grad_(False)
    model[2].requires_grad_(False)
    ldb, optimizer = attach(model, every=1, start=1)
    steps(ldb, model, optimizer, 0)
    with pytest.warns(UserWarning, match="no layer can be dropped"):
        steps(ldb, model, optimizer, 1)
    for number, epoch in ((2, 2), (0, 3)):
        model[number].requires_grad_(True)
        steps(ldb, model, optimizer, epoch, count=30)
        assert ldb.stats()["times_dropped"][str(number)] > 0
    assert ldb.stats()["times_dropped"]["4"] == 0


def test_a_model_that_is_frozen_at_the_epochs_start():
    """A GAN's loop leaves its discriminator frozen."""
    model = mlp()
    ldb, optimizer = attach(model, drop_rate=0.9)
    for epoch in range(4):
        for _ in ldb.epoch(range(5), epoch):
            model.requires_grad_(True)
            model(torch.randn(2, 8)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            model.requires_grad_(False)
    assert ldb.stats()["drop_steps"] >= 8
    assert ldb.stats()["times_dropped"]["0"] > 0


def test_an_optimizer_that_is_never_stepped_is_told():
    model = mlp()
    attached, other = sgd(model), sgd(model)
    ldb = LayerDropBack(model, attached)
    steps(ldb, model, other, 0, count=101)
    with pytest.warns(UserWarning, match="101 backward passes, and no step of optimizer SGD was"):
        ldb.begin_epoch(1)


def test_an_optimizer_given_twice():
    model = mlp()
    optimizer = sgd(model)
    with pytest.raises(AttachError, match="an optimizer was given twice"):
        LayerDropBack(model, [optimizer, optimizer])


# ---- several losses ------------------------------------------------------------------------------


def test_an_auxiliary_loss_alone_lifts_the_flags_and_opens_a_window():
    model = Auxiliary()
    ldb, optimizer = attach(model, verify=False, drop_rate=0.5, seed=2)
    entry = ZOO["auxiliary"]
    with ldb.epoch(None, 0):
        entry.backward(model, entry.batches(1)[0])
        optimizer.step()
        optimizer.zero_grad()
    with ldb.epoch(None, 1):
        while dropped_names(ldb) >= {"auxiliary.weight", "lower.weight"}:
            ldb.redraw()
        mask = ldb.mask
        model(torch.randn(2, 8))["auxiliary"].sum().backward()
        assert all(flags(model).values())
    with ldb.epoch(None, 2):
        assert (ldb.mask == mask).all(), "its gradients wait for their step"
        optimizer.step()
        assert ldb.mask is None


def test_gradient_penalty():
    model = mlp()

    def backward():
        x = torch.randn(2, 8, requires_grad=True)
        (gradient,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        (gradient.square().sum() + model(x).square().sum()).backward()

    counts = drop_counts(model, backward, verify=False)
    assert counts["0"] > 0


def test_what_only_a_later_loss_reaches_is_found_in_the_next_full_epoch():
    model = Auxiliary()
    ldb, optimizer = attach(model, verify=False, drop_rate=0.9)
    steps(
        ldb, model, optimizer, 0, 2, lambda: model(torch.randn(2, 8))["auxiliary"].sum().backward()
    )
    both = ZOO["auxiliary"]

    def backward():
        both.backward(model, both.batches(1)[0])

    for epoch in (2, 3):
        steps(ldb, model, optimizer, epoch, 20, backward)
    counts = ldb.stats()["times_dropped"]
    assert counts["upper"] > 0
    assert counts["classifier"] == 0


# ---- windows -------------------------------------------------------------------------------------


def test_a_skipped_last_step_does_not_carry_its_mask_into_a_zero_grad_first_loop():
    model = mlp()
    ldb, optimizer = attach(model)
    for epoch in range(4):
        for number in ldb.epoch(range(3), epoch):
            optimizer.zero_grad()
            output = model(torch.randn(2, 8))
            assert (ldb.mask is not None) == (epoch % 2 == 1)
            output.sum().backward()
            if number < 2:  # the last step of each epoch is skipped, as for a loss that is NaN
                optimizer.step()


def test_a_forward_pass_that_raises_lifts_the_flags():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.fail = mlp(), False

        def forward(self, x):
            x = self.net(x)
            if self.fail:
                raise MemoryError("out of memory")
            return x

    model = Fails()
    ldb, optimizer = attach(model, drop_rate=0.9)
    steps(ldb, model, optimizer, 0)
    with ldb.epoch(None, 1):
        model.fail = True
        with pytest.raises(MemoryError):
            model(torch.randn(2, 8))
        assert all(flags(model).values())
        assert not model.fail or ldb.mask is not None


def test_freezing_at_the_top_of_the_loop_is_seen_in_the_same_step():
    """The head is frozen in every other step, after the mask was drawn."""
    model = mlp()
    ldb, optimizer = attach(model, drop_rate=0.9, every=1, start=1)
    steps(ldb, model, optimizer, 0)
    for number in ldb.epoch(range(40), 1):
        model[4].requires_grad_(number % 2 == 0)
        model(torch.randn(2, 8)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    times = ldb.stats()["times_dropped"]
    assert times["4"] == 0
    assert 0 < times["2"] < times["0"]


def test_two_forwards_with_one_backward_keep_both_heads():
    model = TwoHeads()

    def backward():
        x = torch.randn(2, 8)
        (model(x, "a") + model(x, "b")).sum().backward()

    counts = drop_counts(model, backward)
    assert counts["a"] == counts["b"] == 0
    assert counts["body"] > 0


def test_a_shared_layer_under_autocast_is_last_where_it_is_used_last():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.shared, self.b = (nn.Linear(8, 8) for _ in range(3))

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.shared(self.b(self.shared(self.a(x))))

    counts = drop_counts(model := Net(), lambda: model(torch.randn(2, 8)).float().sum().backward())
    assert counts["shared"] == 0
    assert counts["b"] > 0


def test_a_freeze_between_forward_and_backward_is_kept():
    model = mlp()
    ldb, optimizer = attach(model, drop_rate=0.9)
    steps(ldb, model, optimizer, 0)
    with ldb.epoch(None, 1):
        output = model(torch.randn(2, 8))
        model[0].requires_grad_(False)
        output.sum().backward()
        optimizer.step()
    assert flags(model) == {name: not name.startswith("0.") for name in flags(model)}


def test_an_epoch_that_was_closed_does_not_iterate():
    model = mlp()
    ldb, _ = attach(model, every=1, start=0)
    held = ldb.epoch([1, 2], 0)
    started = iter(ldb.epoch([1, 2], 1))
    ldb.state_dict()
    assert list(started) == []
    with pytest.raises(EpochError, match="epoch 0 has ended"):
        iter(held)


# ---- copies --------------------------------------------------------------------------------------


class CopiesItself(nn.Sequential):
    """Copies its dictionary by itself, as some models do."""

    def __deepcopy__(self, memo):
        twin = type(self)()
        twin.__dict__.update(copy.deepcopy(vars(self), memo))
        return twin


@pytest.mark.parametrize("kind", ["own", "fx"])
def test_copies_of_models_that_copy_themselves(kind):
    model = CopiesItself(*mlp()) if kind == "own" else torch.fx.symbolic_trace(mlp())
    plain = everything_on(copy.deepcopy(model))[2:]
    ldb, optimizer = attach(model, drop_rate=0.95)
    steps(ldb, model, optimizer, 0)
    with ldb.epoch(None, 1):
        output = model(torch.randn(2, 8))
        twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        for twin in twins:
            assert everything_on(twin)[2:] == plain
            twin[0].weight.data.zero_() if kind == "own" else getattr(twin, "0").weight.data.zero_()
            again = pickle.loads(pickle.dumps(twin))
            assert any((p == 0).all() for p in again.parameters()), "it must pickle itself"
        output.sum().backward()
        optimizer.step()
    assert ldb.stats()["drop_steps"] == 1


def test_copies_of_a_compiled_model():
    model = mlp()
    compiled = torch.compile(model, backend="aot_eager")
    before = [sorted(vars(m)) for m in (model, compiled)]
    optimizer = sgd(model)
    if compile_ignores_flags():
        with pytest.raises(AttachError, match="silently wrong"):
            LayerDropBack(compiled, optimizer)
        assert [sorted(vars(m)) for m in (model, compiled)] == before
        return
    ldb = LayerDropBack(compiled, optimizer, drop_rate=0.9)
    for twin in (copy.deepcopy(compiled), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in twin.modules())
    ldb.detach()
    assert [sorted(vars(m)) for m in (model, compiled)] == before
    copy.deepcopy(compiled)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_tracing_while_attached():
    model = mlp()
    ldb, _ = attach(model)
    traced = torch.jit.trace(model, torch.randn(2, 8), check_trace=False)
    torch.testing.assert_close(traced(torch.ones(2, 8)), model(torch.ones(2, 8)))
    ldb.detach()


def test_an_attachment_that_fails_leaves_nothing(monkeypatch):
    model = mlp()
    optimizer = sgd(model)
    before = everything_on(model), everything_in(optimizer)

    def fails(*args, **settings):
        raise RuntimeError("no hooks here")

    monkeypatch.setattr(model, "register_forward_hook", fails, raising=False)
    with pytest.raises(RuntimeError, match="no hooks here"):
        LayerDropBack(model, optimizer)
    monkeypatch.undo()
    assert (everything_on(model), everything_in(optimizer)) == before
    lazy = nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(2))
    with pytest.raises(AttachError, match="the model has uninitialized parameters"):
        LayerDropBack(lazy, torch.optim.SGD(lazy.parameters(), lr=0.1))


# ---- loaders and states --------------------------------------------------------------------------


class Stream(IterableDataset):
    def __len__(self):
        return 16

    def __iter__(self):
        return iter(range(16))


@pytest.mark.parametrize("data", [Stream(), range(16)])
def test_lengths_count_the_batch_factor_during_and_after_an_epoch(data):
    model = mlp()
    ldb, _ = attach(model, batch_scale=2)
    loader = DataLoader(data, batch_size=4)
    for epoch, count in enumerate((4, 2)):
        batches = ldb.epoch(loader, epoch)
        assert len(batches) == count
        assert ldb.total_steps(loader, 4) == 12, "also while an epoch is open"
        assert sum(1 for _ in batches) == count
        assert len(batches) == count, "the epoch is over, its length is what it was"
    with pytest.raises(LoaderError, match="it is not a torch DataLoader"):
        ldb.total_steps([1, 2], 2)


def test_letting_go_of_the_controller_puts_the_batch_size_back():
    model = mlp()
    ldb, _ = attach(model, batch_scale=2)
    loader = DataLoader(range(16), batch_size=4)
    ldb.begin_epoch(1, loader)
    assert loader.batch_sampler.batch_size == 8
    del ldb
    gc.collect()
    assert loader.batch_sampler.batch_size == 4


def test_a_state_without_an_order_is_recorded_anew():
    model = mlp()
    ldb, optimizer = attach(model, every=1, start=0)
    state = ldb.state_dict()
    steps(ldb, model, optimizer, 0)
    ldb.load_state_dict(state)
    with ldb.epoch(None, 0):
        assert ldb.mask is None
    with pytest.raises(StateError, match="no usable 'layers'"):
        ldb.load_state_dict(state | {"layers": {"0": 3}})


def test_numpy_integers_are_numbers():
    model = mlp()
    optimizer = sgd(model)
    ldb = LayerDropBack(model, optimizer, every=np.int64(1), start=np.int64(0), seed=np.uint64(3))
    steps(ldb, model, optimizer, np.int64(0))
    assert ldb.stats()["drop_steps"] == 2
    ldb.load_state_dict(ldb.state_dict())


# ---- torch.compile -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler's own
@pytest.mark.parametrize("how", ["wrapped", "wrapped later", "in place later", "by block"])
def test_compiled_models_keep_their_classifier_and_follow_the_mask(how):
    torch._dynamo.reset()
    entry = ZOO["tied_gpt" if how == "by block" else "auxiliary"]
    model = entry.model()
    called = model
    if how == "by block":
        for block in model.blocks:
            block.compile(backend="aot_eager")
    if how == "wrapped":
        called = torch.compile(model, backend="aot_eager")
    optimizer = sgd(model)
    unit = "block" if how == "by block" else "layer"
    if how == "wrapped" and compile_ignores_flags():
        with pytest.raises(AttachError, match="silently wrong"):
            LayerDropBack(called, optimizer)
        return
    ldb = LayerDropBack(called, optimizer, unit=unit, drop_rate=0.7, every=1, start=1, verify=True)
    if how == "wrapped later":
        called = torch.compile(model, backend="aot_eager")
    if how == "in place later":
        model.compile(backend="aot_eager")
        with pytest.raises(AttachError, match="compiled in place as a whole"):
            ldb.epoch([], 0)
        return
    if how == "wrapped later":
        with (
            pytest.raises(AttachError, match="compiled as a whole after.*block by block"),
            ldb.epoch(None, 0),
        ):
            entry.backward(called, entry.batches(1)[0])
        return
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(6), epoch):
            before, dropped = snapshot_of(model, optimizer), dropped_names(ldb)
            entry.backward(called, batch)
            has = {name for name, p in model.named_parameters() if p.grad is not None}
            assert has == set(flags(model)) - dropped
            optimizer.step()
            after = snapshot_of(model, optimizer)
            assert all(same(before[key], after[key]) == (key in dropped) for key in before)
            optimizer.zero_grad()
    counts = ldb.stats()["times_dropped"]
    assert counts[entry.head] == 0
    assert all(times > 0 for name, times in counts.items() if name != entry.head)


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
