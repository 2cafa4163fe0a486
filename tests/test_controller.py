"""What LayerDropBack promises, each promise as a test that can fail."""

import copy
import gc
import io
import pickle
import random
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

from layerdropback import AttachError, EpochError, LayerDropBack
from zoo import ZOO, mlp

UNITS = ("layer", "block", "tensor")
SKIPPING = {"resnet", "densenet", "vit", "beit", "attention", "tied_gpt", "residual"}


def sgd(model, **changes):
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-2} | changes
    return torch.optim.SGD(model.parameters(), **settings)


def attach(model, optimizer=None, **settings):
    optimizer = sgd(model) if optimizer is None else optimizer
    return LayerDropBack(model, optimizer, **({"verify": True} | DEFAULTS | settings)), optimizer


DEFAULTS = {}


@pytest.fixture(params=["uniform", "truncate", "branch"])
def strategy(request, monkeypatch):
    """What holds for one strategy holds for all: each test that uses this runs with each."""
    monkeypatch.setitem(DEFAULTS, "strategy", request.param)
    return request.param


@pytest.fixture(params=["uniform", "truncate"])
def not_branch(request, monkeypatch):
    """Where the layer in question lies in no branch."""
    monkeypatch.setitem(DEFAULTS, "strategy", request.param)


# Models, or their blocks, of which no part is a residual branch.
NO_BRANCH = {(name, unit) for name in set(ZOO) - SKIPPING for unit in UNITS}
NO_BRANCH |= {("resnet", "block"), ("attention", "block")}


def cannot(name, strategy, unit):
    """Whether a model cannot be trained with a strategy."""
    return strategy == "branch" and (name, unit) in NO_BRANCH


def small(otherwise="mlp"):
    """A model of three layers, with a branch where branches are what is dropped."""
    return ZOO["residual" if DEFAULTS.get("strategy") == "branch" else otherwise]


def nearly_all():
    """A rate at which hardly a step drops nothing; of the small models' cost no more can be cut."""
    return 0.8 if DEFAULTS.get("strategy") == "truncate" else 0.99


def snapshot(model, optimizer):
    """Every parameter with its optimizer state, by name."""
    return {
        name: [parameter.detach().clone()]
        + [torch.as_tensor(v).clone() for v in optimizer.state.get(parameter, {}).values()]
        for name, parameter in model.named_parameters()
    }


def same(before, after):
    return len(before) == len(after) and all(map(torch.equal, before, after))


def assert_same_weights(one, other):
    torch.testing.assert_close(
        list(one.state_dict().values()), list(other.state_dict().values()), rtol=0, atol=0
    )


def dropped_names(ldb):
    mask = ldb.mask
    chosen = [] if mask is None else [ldb.layers[i] for i in np.flatnonzero(mask)]
    return {name for layer in chosen for name in layer.parameter_names}


def trainable_names(entry, model):
    """What the loss can reach: neither frozen nor in a part that it never sees."""
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and name.split(".")[0] not in entry.frozen
    }


# ---- 1: nothing is wrapped -----------------------------------------------------------------------


def everything_on(model):
    hooks = [
        (name, table, list(getattr(module, table)))
        for name, module in model.named_modules()
        for table in ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called")
    ]
    keys = [(name, sorted(vars(module))) for name, module in model.named_modules()]
    flags = [(name, p.requires_grad, vars(p)) for name, p in model.named_parameters()]
    tensor_hooks = [
        len(p._post_accumulate_grad_hooks or {}) + len(p._backward_hooks or {})
        for p in model.parameters()
    ]
    return type(model), list(model.state_dict()), hooks, keys, flags, tensor_hooks


def everything_in(optimizer):
    tables = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
    hooks = [list(getattr(optimizer, table)) for table in tables]
    groups = [sorted(group) for group in optimizer.param_groups]
    return sorted(vars(optimizer)), hooks, groups, optimizer.param_groups[0]["lr"]


def backward_that_fails(model, loss):
    """Stops where the flags are lowered, which nothing but the next touch can lift."""

    def fails(_):
        assert not all(p.requires_grad for p in model.parameters())
        raise KeyError

    handles = [p.register_hook(fails) for p in model.parameters() if p.requires_grad]
    try:
        loss.backward()
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.usefixtures("strategy")
@pytest.mark.parametrize("way", ["detach", "garbage"])
@pytest.mark.parametrize("moment", ["at once", "in a full step", "in a drop step"])
def test_nothing_is_left_behind(way, moment):
    entry = ZOO["beit"]
    model = entry.model()
    optimizer = sgd(model)
    before = everything_on(model), everything_in(optimizer)
    ldb, _ = attach(model, optimizer, drop_rate=0.9)
    if moment != "at once":
        full, drop = ldb.epoch(entry.batches(2), 0), None
        for batch in full:
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
        if moment == "in a drop step":
            drop = ldb.epoch(None, 1)
            loss = entry.select(model(entry.batches(1)[0][0])).sum()
            with pytest.raises(KeyError):
                backward_that_fails(model, loss)
        del full, drop
    if way == "detach":
        ldb.detach()
    else:
        del ldb
        gc.collect()
    optimizer.state.clear()
    assert (everything_on(model), everything_in(optimizer)) == before


def test_model_and_optimizer_look_the_same_while_attached():
    model = ZOO["vit"].model()
    optimizer = sgd(model)
    keys, kind, groups = list(model.state_dict()), type(model), len(optimizer.param_groups)
    ldb, _ = attach(model, optimizer)
    assert (list(model.state_dict()), type(model), len(optimizer.param_groups)) == (
        keys,
        kind,
        groups,
    )
    assert all(parameter.requires_grad for parameter in model.parameters())
    ldb.detach()


@pytest.mark.usefixtures("strategy")
def test_model_and_controller_can_be_collected():
    model = small().model()
    ldb, optimizer = attach(model)
    with ldb.epoch(None, 0):
        model(torch.randn(2, 8)).sum().backward()
        optimizer.step()
    witness = [weakref.ref(model), weakref.ref(ldb)]
    del ldb
    gc.collect()
    assert witness[1]() is None
    del model, optimizer
    gc.collect()
    assert witness[0]() is None


COPIES = {
    "deepcopy": copy.deepcopy,
    "averaged": lambda model: AveragedModel(model).module,
    "inside": lambda model: copy.deepcopy({"model": [model]})["model"][0],
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "save": lambda model: _saved(model),
}


def _saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.usefixtures("strategy")
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("moment", ["before the forward", "before the backward", "after the step"])
def test_a_copy_in_a_drop_epoch_carries_no_hook_and_the_users_flags(way, moment):
    model = small("frozen_stem").model()
    entry = small("frozen_stem")
    plain = everything_on(copy.deepcopy(model))
    ldb, optimizer = attach(model, drop_rate=nearly_all())
    (batch,) = entry.batches(1)
    for epoch in range(2):
        with ldb.epoch(None, epoch):
            for _ in range(3):
                copies = [COPIES[way](model)] if moment == "before the forward" else []
                output = entry.select(model(batch[0]))
                copies += [COPIES[way](model)] if moment == "before the backward" else []
                entry.loss(output, batch[1]).backward()
                optimizer.step()
                optimizer.zero_grad()
                copies += [COPIES[way](model)] if moment == "after the step" else []
                for twin in copies:
                    assert everything_on(twin) == plain
    assert ldb.stats()["drop_steps"] == 3
    assert ldb.mask is None


# ---- 2: rate 0 is plain training -----------------------------------------------------------------


def loader_of(entry, count=6):
    batches = entry.batches(count)
    data = TensorDataset(torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]))
    return DataLoader(data, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(5))


def train(entry, epochs=4, **settings):
    model = entry.model()
    optimizer = sgd(model)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    loader = loader_of(entry)
    ldb = LayerDropBack(model, optimizer, **settings) if settings else None
    torch.manual_seed(11)
    for epoch in range(epochs):
        for batch in loader if ldb is None else ldb.epoch(loader, epoch):
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
        scheduler.step()
    return model, optimizer, torch.get_rng_state()


PLAIN_SETTINGS = {
    "rate 0": {"drop_rate": 0.0, "strategy": "uniform"},
    "rate 0, nothing": {"drop_rate": 0.0, "strategy": "none"},
    "rate 0, truncate": {"drop_rate": 0.0, "strategy": "truncate"},
    "rate 0, inverse": {"drop_rate": 0.0, "lr_scale": "inverse", "start": 0, "every": 1},
    "control, factors 1": {"strategy": "none", "lr_scale": 1.0, "batch_scale": 1},
    "control, resample": {"strategy": "none", "lr_scale": 1, "batch_scale": 1, "resample": "epoch"},
}


@pytest.mark.parametrize("settings", PLAIN_SETTINGS)
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", ZOO)
def test_dropping_nothing_is_plain_training_bit_for_bit(name, unit, settings):
    entry = ZOO[name]
    plain, plain_optimizer, plain_rng = train(entry)
    arguments = {"lr_scale": 3.0, "batch_scale": 2, "unit": unit} | PLAIN_SETTINGS[settings]
    mine, optimizer, rng = train(entry, **arguments)
    assert_same_weights(mine, plain)
    for one, other in zip(
        optimizer.state_dict()["state"].values(),
        plain_optimizer.state_dict()["state"].values(),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert torch.equal(rng, plain_rng)


def test_the_control_has_the_factors_without_the_dropping():
    entry = ZOO["mlp"]
    control, _, _ = train(entry, strategy="none", lr_scale=2.0, batch_scale=2)
    plain, _, _ = train(entry)
    with pytest.raises(AssertionError):
        assert_same_weights(control, plain)
    by_hand = entry.model()
    optimizer, loader = sgd(by_hand), loader_of(entry)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
    for epoch in range(4):
        loader.batch_sampler.batch_size = 8 if epoch % 2 else 4
        for batch in loader:
            entry.backward(by_hand, batch)
            before = optimizer.param_groups[0]["lr"]
            optimizer.param_groups[0]["lr"] = before * (2 if epoch % 2 else 1)
            optimizer.step()
            optimizer.param_groups[0]["lr"] = before
            optimizer.zero_grad()
        scheduler.step()
    assert_same_weights(control, by_hand)


# ---- 3: a dropped layer does not move, a kept one has a gradient ---------------------------------


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", ZOO)
def test_who_has_a_gradient_and_who_moves(name, unit, to_none, strategy):
    if cannot(name, strategy, unit):
        return  # refused: see test_truncate and test_branch
    entry = ZOO[name]
    model = entry.model()
    ldb, optimizer = attach(model, unit=unit)
    expected = trainable_names(entry, model)
    dropped_ever = set()
    for epoch in range(4):
        for batch in ldb.epoch(entry.batches(4), epoch):
            dropped = dropped_names(ldb)
            dropped_ever |= dropped
            before = snapshot(model, optimizer)
            entry.backward(model, batch)
            for key, parameter in model.named_parameters():
                reached = parameter.grad is not None and parameter.grad.any()
                assert not (reached and key in dropped), key
                if key in expected - dropped:
                    assert parameter.grad is not None, key
            optimizer.step()
            after = snapshot(model, optimizer)
            for key, parameter in model.named_parameters():
                moved = not same(before[key], after[key])
                assert not (moved and key in dropped), key
                if key in expected - dropped:
                    assert parameter.grad is not None, key
                    assert moved, key
            optimizer.zero_grad(set_to_none=to_none)
    assert dropped_ever
    assert dropped_ever <= expected
    assert not any(name.startswith(f"{entry.head}.") for name in dropped_ever)


def torch_optimizers():
    skipped = {"Optimizer", "LBFGS", "SparseAdam", "Muon"}  # base; refused; sparse; matrices only
    kinds = {k: v for k, v in vars(torch.optim).items() if isinstance(v, type) and k not in skipped}
    return {k: v for k, v in kinds.items() if issubclass(v, torch.optim.Optimizer)}


@pytest.mark.usefixtures("strategy")
@pytest.mark.parametrize("way", ["foreach", "loop"])
@pytest.mark.parametrize("kind", torch_optimizers())
def test_every_torch_optimizer_leaves_dropped_layers_alone(kind, way):
    entry = small()
    model = entry.model()
    make = torch_optimizers()[kind]
    optimizer = make(model.parameters(), lr=0.01, foreach=way == "foreach")
    for group in optimizer.param_groups:
        for key in {"weight_decay", "momentum"} & group.keys():
            group[key] = 0.1
    ldb, _ = attach(model, optimizer, every=1, start=0)
    seen = 0
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(5), epoch):
            dropped, before = dropped_names(ldb), snapshot(model, optimizer)
            entry.backward(model, batch)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            after = snapshot(model, optimizer)
            assert all(same(before[key], after[key]) for key in dropped)
            assert not all(same(before[key], after[key]) for key in before)
            seen += len(dropped)
            optimizer.zero_grad(set_to_none=False)
    assert seen


@pytest.mark.usefixtures("strategy")
def test_buffers_follow_the_forward():
    entry = ZOO["resnet"]
    model = entry.model()
    ldb, optimizer = attach(model, drop_rate=0.99)
    batches = entry.batches(3)
    for epoch in range(2):
        for batch in ldb.epoch(batches, epoch):
            before = [buffer.clone() for buffer in model.buffers()]
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
            for old, new in zip(before, model.buffers(), strict=True):
                assert not torch.equal(old, new)


@pytest.mark.usefixtures("strategy")
def test_the_forward_pass_is_the_plain_one():
    entry = ZOO["vit"]
    model, twin = entry.model(), entry.model()
    ldb, optimizer = attach(model, drop_rate=0.9)
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(3), epoch):
            twin.load_state_dict(model.state_dict())
            assert torch.equal(model(batch[0]), twin(batch[0]))
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()


# ---- 4: masks ------------------------------------------------------------------------------------


def masks_of(entry, epochs=4, ldb_of=lambda ldb: ldb, **settings):
    model = entry.model()
    ldb, optimizer = attach(model, **settings)
    masks = []
    for epoch in range(epochs):
        for batch in ldb.epoch(entry.batches(5), epoch):
            masks.append(ldb.mask)
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
    return masks


def equal_masks(one, other):
    return all(
        (a is None and b is None) or (a is not None and b is not None and (a == b).all())
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.usefixtures("strategy")
def test_masks_follow_from_the_seed_alone():
    entry = ZOO["vit"]
    first = masks_of(entry, seed=4)
    torch.manual_seed(99)
    np.random.seed(99)
    assert equal_masks(first, masks_of(entry, seed=4))
    assert not equal_masks(first, masks_of(entry, seed=5))


@pytest.mark.usefixtures("strategy")
def test_one_mask_per_epoch_where_asked():
    masks = masks_of(ZOO["vit"], resample="epoch", epochs=6)
    drops = [masks[5 * epoch : 5 * epoch + 5] for epoch in (1, 3, 5)]
    assert all(equal_masks(epoch, [epoch[0]] * 5) for epoch in drops)
    assert not equal_masks(drops[0], drops[1])
    assert not equal_masks(drops[1], drops[2])


@pytest.mark.usefixtures("strategy")
def test_the_global_generators_are_neither_read_nor_moved():
    entry = small()
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    model = entry.build()
    after_build = torch.get_rng_state()
    ldb, optimizer = attach(model)
    data = [(torch.ones(4, 8), torch.zeros(4, dtype=torch.long))] * 3
    for epoch in range(3):
        for batch in ldb.epoch(data, epoch):
            entry.backward(model, batch)
            optimizer.step()
    ldb.load_state_dict(ldb.state_dict())
    ldb.detach()
    assert torch.equal(torch.get_rng_state(), after_build)
    assert not torch.equal(after_build, before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert random.getstate() == before[2]


@pytest.mark.usefixtures("strategy")
def test_batches_and_augmentation_are_those_of_a_plain_run():
    def seen(attached):
        model = small().model()
        optimizer = sgd(model)
        loader = DataLoader(torch.arange(24.0), batch_size=4, shuffle=True)
        ldb = LayerDropBack(model, optimizer) if attached else None
        torch.manual_seed(3)
        values = []
        for epoch in range(3):
            for batch in ldb.epoch(loader, epoch) if ldb else loader:
                noise = torch.randn(4, 8)
                values.append(torch.cat([batch, noise.flatten()]))
                model(noise).sum().backward()
                optimizer.step()
                optimizer.zero_grad()
        return torch.stack(values)

    assert torch.equal(seen(True), seen(False))


# ---- 5: one mask per optimizer step --------------------------------------------------------------


@pytest.mark.usefixtures("strategy")
def test_a_mask_holds_for_every_micro_batch_and_over_the_epochs_end():
    entry = small()
    model = entry.model()
    ldb, optimizer = attach(model)
    batches, window, factors = 0, [], []
    for epoch in range(6):
        for batch in ldb.epoch(entry.batches(5), epoch):  # 5 batches, windows of 3: they straddle
            entry.backward(model, batch)
            window.append(None if ldb.mask is None else ldb.mask.tolist())
            batches += 1
            if batches % 3 == 0:
                mask = ldb.mask
                assert all(entry == (None if mask is None else mask.tolist()) for entry in window)
                factors.append(ldb.stats()["lr_factor"])
                before = snapshot(model, optimizer)
                dropped = dropped_names(ldb)
                optimizer.step()
                after = snapshot(model, optimizer)
                assert all(same(before[key], after[key]) == (key in dropped) for key in before)
                optimizer.zero_grad()
                window = []
        assert all(parameter.requires_grad for parameter in model.parameters())
    # Windows begin at batches 0, 3, 6, ...; each has the mode of the epoch in which it began.
    assert factors == [2.0 if (3 * w // 5) % 2 else 1.0 for w in range(10)]


@pytest.mark.usefixtures("strategy")
@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 5), min_size=2, max_size=6),
    window=st.integers(1, 4),
    every=st.integers(1, 3),
    start=st.integers(0, 2),
    zero_first=st.booleans(),
    to_none=st.booleans(),
    unit=st.sampled_from(UNITS),
)
def test_any_windows_in_any_epochs(lengths, window, every, start, zero_first, to_none, unit):
    """Whatever the loop: each window has one mask, that of the epoch in which it began."""
    entry = small()
    model = entry.model()
    ldb, optimizer = attach(model, every=every, start=start, unit=unit, drop_rate=0.7)
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
                after = snapshot(model, optimizer)
                assert {key for key in before if same(before[key], after[key])} == dropped
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


@pytest.mark.usefixtures("strategy")
@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_grad_scaler_skips(fused):
    entry = small()
    model = entry.model()
    ldb, optimizer = attach(model, sgd(model, fused=fused), every=1, start=0)
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
    assert all(parameter.requires_grad for parameter in model.parameters())
    # An optimizer that is not called counts no step; a fused one is called and skips by itself.
    assert ldb.stats()["step"] == (12 if fused else 8)


@pytest.mark.usefixtures("strategy")
def test_steps_with_a_closure():
    entry = small()
    model = entry.model()
    ldb, optimizer = attach(model)
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(3), epoch):

            def closure(batch=batch):
                optimizer.zero_grad()
                return entry.backward(model, batch)

            before, dropped = snapshot(model, optimizer), dropped_names(ldb)
            optimizer.step(closure)
            after = snapshot(model, optimizer)
            assert {key for key in before if same(before[key], after[key])} == dropped


# ---- 6: the user's own flags ---------------------------------------------------------------------


def flags(model):
    return {name: parameter.requires_grad for name, parameter in model.named_parameters()}


def full_epoch(entry, model, ldb, optimizer, epoch=0):
    for batch in ldb.epoch(entry.batches(2), epoch):
        entry.backward(model, batch)
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.usefixtures("strategy")
def test_flags_are_the_users_on_break_and_exception():
    entry = small("frozen_stem")
    model = entry.model()
    users = flags(model)
    ldb, optimizer = attach(model, drop_rate=nearly_all())
    full_epoch(entry, model, ldb, optimizer)
    inside = []
    model[2].register_forward_hook(lambda *_: inside.append(flags(model)))
    for batch in ldb.epoch(entry.batches(3), 1):
        assert model(batch[0]).requires_grad
        assert flags(model) == users
        break
    assert len(inside) == 1
    assert inside[0] != users, "the forward pass of a drop step lowers flags"
    assert flags(model) == users
    assert not ldb.is_drop_epoch

    def fails():
        for batch in ldb.epoch(entry.batches(3), 3):
            model(batch[0])
            raise KeyError("the user's own")

    with pytest.raises(KeyError):
        fails()
    assert flags(model) == users
    assert not ldb.is_drop_epoch
    with pytest.raises(KeyError), ldb.epoch(None, 5):
        model(batch[0])
        raise KeyError
    assert flags(model) == users


@pytest.mark.usefixtures("strategy")
def test_flags_are_the_users_between_steps():
    entry = ZOO["beit"]
    model = entry.model()
    users = flags(model)
    ldb, optimizer = attach(model, drop_rate=0.9)
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(3), epoch):
            assert flags(model) == users
            entry.backward(model, batch)
            assert flags(model) == users
            optimizer.step()
            assert flags(model) == users
            optimizer.zero_grad()


@pytest.mark.usefixtures("not_branch")
@pytest.mark.parametrize("often", [True, False])
def test_unfreezing_and_freezing_in_a_drop_epoch_is_respected(often):
    entry = ZOO["mlp"]
    model = entry.model()
    model[0].requires_grad_(False)
    drop_rate = nearly_all() if often else 0.3
    ldb, optimizer = attach(model, drop_rate=drop_rate, every=1, start=1)
    full_epoch(entry, model, ldb, optimizer)
    for number, batch in enumerate(ldb.epoch(entry.batches(8), 1)):
        if number == 2:
            model[0].requires_grad_(True)
        if number == 5:
            for parameter in model[2].parameters():
                parameter.requires_grad = False
        entry.backward(model, batch)
        has = {name for name, p in model.named_parameters() if p.grad is not None}
        frozen = {f"{0 if number < 2 else 2}.{part}" for part in ("weight", "bias")}
        if number < 2 or number >= 5:
            assert not has & frozen
        optimizer.step()
        optimizer.zero_grad()
    assert flags(model) == {name: not name.startswith("2.") for name in flags(model)}
    times = ldb.stats()["times_dropped"]
    full_epoch(entry, model, ldb, optimizer, epoch=2)
    assert flags(model) == {name: not name.startswith("2.") for name in flags(model)}
    if often:
        assert ldb.stats()["times_dropped"]["0"] > times["0"], "the unfrozen layer can be dropped"


@pytest.mark.usefixtures("not_branch")
def test_alternating_flags_do_not_stop_the_dropping():
    """A GAN's loop freezes one half in every other step: the order is recorded once for each."""
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, every=1, start=0, verify=False)
    drops = []
    for number, batch in enumerate(ldb.epoch(entry.batches(12), 0)):
        model[0].requires_grad_(number % 2 == 0)
        model[2].requires_grad_(number % 2 == 1)
        drops.append(ldb.mask is not None)
        entry.backward(model, batch)
        optimizer.step()
        optimizer.zero_grad()
    assert sum(drops) >= 9


# ---- 7: the learning rate ------------------------------------------------------------------------


@pytest.mark.usefixtures("not_branch")
@pytest.mark.parametrize("tensor", [False, True])
def test_the_learning_rate_is_scaled_only_inside_the_step(tensor):
    entry = small()
    model = entry.model()
    rate = torch.tensor(0.1) if tensor else 0.1
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.07}]
    groups += [{"params": model[4].parameters()}]
    optimizer = torch.optim.Adam(groups, lr=rate, foreach=False, capturable=False)
    held = [group["lr"] for group in optimizer.param_groups]
    inside = []
    optimizer.register_step_pre_hook(
        lambda *_: inside.append([float(group["lr"]) for group in optimizer.param_groups])
    )
    ldb, _ = attach(model, optimizer, lr_scale=3.0)
    after = []
    optimizer.register_step_pre_hook(
        lambda *_: after.append([float(group["lr"]) for group in optimizer.param_groups])
    )
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(2), epoch):
            entry.backward(model, batch)
            assert [group["lr"] for group in optimizer.param_groups] == held
            optimizer.step()
            assert [group["lr"] for group in optimizer.param_groups] == held
            optimizer.zero_grad()
    user = [float(value) for value in held]
    assert inside == [user] * 4
    assert after[:2] == [user] * 2
    torch.testing.assert_close(torch.tensor(after[2:]), 3 * torch.tensor([user] * 2))
    if tensor:
        assert all(
            group["lr"] is value for group, value in zip(optimizer.param_groups, held, strict=True)
        )


def test_inverse_factor_averages_over_what_can_drop():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, drop_rate=0.6, lr_scale="inverse")
    full_epoch(entry, model, ldb, optimizer)
    with ldb.epoch(None, 1):
        assert ldb.stats()["lr_factor"] == pytest.approx(1 / (1 - 0.6))


SCHEDULERS = {
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20),
    "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.3, total_steps=30),
    "exponential": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    "chained": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [
            torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=4),
            torch.optim.lr_scheduler.CosineAnnealingLR(o, 16),
        ],
        [4],
    ),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")  # torch's, up to 2.8
@pytest.mark.parametrize("scheduler_first", [True, False])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_any_scheduler_sees_and_writes_its_own_values(name, scheduler_first):
    def rates(attached):
        entry = ZOO["mlp"]
        model = entry.model()
        optimizer = sgd(model)
        scheduler = SCHEDULERS[name](optimizer) if scheduler_first else None
        ldb = LayerDropBack(model, optimizer, lr_scale=1.7) if attached else None
        scheduler = scheduler or SCHEDULERS[name](optimizer)
        seen = []
        for epoch in range(4):
            for batch in ldb.epoch(entry.batches(5), epoch) if ldb else entry.batches(5):
                entry.backward(model, batch)
                optimizer.step()
                optimizer.zero_grad()
                scheduler.step()
                seen.append(optimizer.param_groups[0]["lr"])
        if ldb:
            ldb.detach()
        return seen

    assert rates(attached=True) == rates(attached=False)


@pytest.mark.parametrize("with_scheduler", [True, False])
def test_the_learning_rate_is_put_back_when_the_step_raises(with_scheduler):
    entry = ZOO["mlp"]
    model = entry.model()
    rate = 0.1 / 3
    ldb, optimizer = attach(model, sgd(model, lr=rate), lr_scale=1.1)
    if with_scheduler:
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    full_epoch(entry, model, ldb, optimizer)

    def closure():
        assert optimizer.param_groups[0]["lr"] != rate
        raise KeyError("out of luck")

    for batch in ldb.epoch(entry.batches(2), 1):
        entry.backward(model, batch)
        mask = ldb.mask
        with pytest.raises(KeyError, match="out of luck"):
            optimizer.step(closure)
        assert optimizer.param_groups[0]["lr"] == rate
        assert (ldb.mask == mask).all(), "the step was not made, so its mask stays"
        optimizer.step()
        assert optimizer.param_groups[0]["lr"] == rate
        optimizer.zero_grad()
    assert ldb.stats()["drop_steps"] == 2


def test_total_steps_counts_the_batch_factor():
    model = mlp()
    ldb, _ = attach(model, batch_scale=2)
    loader = DataLoader(torch.zeros(22, 8), batch_size=4)
    steps = sum(len(ldb.epoch(loader, epoch)) for epoch in range(5))
    ldb.end_epoch()
    assert ldb.total_steps(loader, 5) == steps == 3 * 6 + 2 * 3
    assert loader.batch_sampler.batch_size == 4


# ---- several optimizers --------------------------------------------------------------------------


@pytest.mark.usefixtures("not_branch")
def test_several_optimizers_share_a_mask_until_each_has_stepped():
    entry = ZOO["mlp"]
    model = entry.model()
    first = torch.optim.SGD([*model[0].parameters(), *model[2].parameters()], lr=0.1, momentum=0.9)
    second = torch.optim.AdamW(model[4].parameters(), lr=0.01)
    ldb = LayerDropBack(model, [first, second], drop_rate=0.9, verify=True)
    for epoch in range(4):
        for batch in ldb.epoch(entry.batches(4), epoch):
            before = model[2].weight.detach().clone()
            entry.backward(model, batch)
            mask = ldb.mask
            first.step()
            assert (ldb.mask is None) if mask is None else (ldb.mask == mask).all()
            second.step()
            for optimizer in (first, second):
                optimizer.zero_grad()
            assert not torch.equal(before, model[2].weight), "each optimizer keeps its last layer"
    times = ldb.stats()["times_dropped"]
    assert times["0"] > 0
    assert times["2"] == times["4"] == 0
    assert ldb.stats()["step"] == 16


# ---- 8 and 9: order, and what is kept ------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", ZOO)
def test_the_head_is_kept_and_the_rest_drops_at_its_rate(name, unit):
    entry = ZOO[name]
    model = entry.model()
    ldb, optimizer = attach(model, unit=unit, drop_rate=0.9, every=1, start=0, verify=False)
    for batch in ldb.epoch(entry.batches(40), 0):
        entry.backward(model, batch)
        optimizer.step()
        optimizer.zero_grad()
    times = ldb.stats()["times_dropped"]
    head = {n for n, _ in model.named_parameters() if n.startswith(f"{entry.head.split('+')[0]}.")}
    for layer in ldb.layers:
        fixed = set(layer.parameter_names) & head or layer.name.split(".")[0] in entry.frozen
        assert (times[layer.name] == 0) == bool(fixed), layer.name
    assert ldb.stats()["drop_steps"] == 39, "the first step is full: it shows the order"


def test_keep_patterns_are_never_dropped():
    model = ZOO["vit"].model()
    entry = ZOO["vit"]
    ldb, optimizer = attach(model, drop_rate=0.95, keep=["blocks.0", "*norm*"], every=1, start=0)
    for batch in ldb.epoch(entry.batches(20), 0):
        entry.backward(model, batch)
        optimizer.step()
        optimizer.zero_grad()
    times = ldb.stats()["times_dropped"]
    kept = [name for name in times if name.startswith("blocks.0") or "norm" in name]
    assert len(kept) > 5
    assert all(times[name] == 0 for name in [*kept, "head"])
    assert all(times[name] > 0 for name in times if name not in [*kept, "head"])


# ---- the face ------------------------------------------------------------------------------------


def test_the_epochs_modes_lengths_and_evaluation_inside():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model)
    batches = entry.batches(4)
    for epoch in range(4):
        progress = ldb.epoch(batches, epoch)
        assert len(progress) == 4
        assert ldb.is_drop_epoch == (epoch % 2 == 1)
        for batch in progress:
            mask = ldb.mask
            entry.backward(model, batch)
            with torch.no_grad():
                model.eval()
                model(batch[0])
                model.train()
            assert (mask is None) if ldb.mask is None else (ldb.mask == mask).all()
            optimizer.step()
            optimizer.zero_grad()
        assert not ldb.is_drop_epoch
    share = ldb.stats()["share_dropped"]
    assert 0 < share < 1


def test_explicit_calls_do_the_same():
    entry = ZOO["mlp"]

    def weights(loop):
        model = entry.model()
        ldb, optimizer = attach(model)
        for epoch in range(3):
            loop(ldb, model, optimizer, epoch)
        return model

    def implicit(ldb, model, optimizer, epoch):
        full_epoch(entry, model, ldb, optimizer, epoch)

    def explicit(ldb, model, optimizer, epoch):
        ldb.begin_epoch(epoch)
        for batch in entry.batches(2):
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
        ldb.end_epoch()

    def block(ldb, model, optimizer, epoch):
        with ldb.epoch(None, epoch):
            for batch in entry.batches(2):
                entry.backward(model, batch)
                optimizer.step()
                optimizer.zero_grad()

    first = weights(implicit)
    assert_same_weights(first, weights(explicit))
    assert_same_weights(first, weights(block))


@pytest.mark.usefixtures("strategy")
def test_redraw_counts_a_step():
    entry = small()
    model = entry.model()
    ldb, optimizer = attach(model, seed=1)
    full_epoch(entry, model, ldb, optimizer)
    ldb.begin_epoch(1)
    masks = [ldb.mask.tolist()]
    for _ in range(8):
        ldb.redraw()
        masks.append(ldb.mask.tolist())
    assert ldb.stats()["step"] == 10
    assert len({tuple(mask) for mask in masks}) > 1


def test_a_model_that_is_never_called_is_told():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, drop_rate=0.9, verify=False)

    def step(batch):
        x = batch[0]
        for module in model:  # the parts, not the model
            x = module(x)
        entry.loss(x, batch[1]).backward()
        optimizer.step()
        optimizer.zero_grad()

    for batch in ldb.epoch(entry.batches(2), 0):
        step(batch)
    batches = iter(ldb.epoch(entry.batches(6), 1))
    before, dropped = snapshot(model, optimizer), dropped_names(ldb)
    with pytest.warns(UserWarning, match="dropping saved nothing.*Sequential was never called"):
        step(next(batches))
    after = snapshot(model, optimizer)
    assert all(same(before[key], after[key]) == (key in dropped) for key in before)
    for batch in batches:
        step(batch)  # it is said once


def test_presets_and_their_changes():
    model = mlp()
    ldb = LayerDropBack.from_preset(model, sgd(model), "paper-finetune", seed=7)
    schedule = ldb.settings.schedule
    assert (schedule.lr_scale, schedule.batch_scale, ldb.settings.unit) == ("inverse", 2, "tensor")
    assert ldb.state_dict()["seed"] == 7
    with pytest.raises(AttachError, match="preset='paper' is unknown.*paper-scratch"):
        LayerDropBack.from_preset(model, sgd(model), "paper")


def test_summary_shows_the_order_and_the_rates():
    entry = ZOO["unreached"]
    model = entry.model()
    ldb, optimizer = attach(model)
    assert "order not known before the first step" in ldb.summary()
    full_epoch(entry, model, ldb, optimizer)
    lines = {line.split()[0]: line for line in ldb.summary().splitlines()[2:]}
    assert lines["lower"].endswith("0.5")
    assert lines["classifier"].endswith("always kept")
    assert lines["unused"].endswith("the loss does not reach it")
    assert "uniform at rate 0.5" in ldb.summary()


def test_after_detach_nothing_begins():
    ldb, _ = attach(mlp())
    ldb.detach()
    ldb.detach()
    with pytest.raises(EpochError, match=r"not attached.*detach\(\) was called"):
        ldb.epoch([], 0)


@pytest.mark.parametrize("epoch", [-1, 1.0, True, None])
def test_an_epoch_is_a_count(epoch):
    ldb, _ = attach(mlp())
    with pytest.raises(EpochError, match="is no epoch"):
        ldb.epoch([], epoch)
