"""What others put around a model or an optimizer, FSDP2 included, and what is inside."""

import pytest
import torch
from timm.optim import Lookahead
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy

from attached import dropped_names, sgd, unmoved
from layerdropback import LayerDropBack, Uniform
from layerdropback.interop.wrappers import (
    called_module,
    canonical_name,
    data_parallels,
    is_sharded,
    named_modules,
    reshard,
    sharded_modules,
    torch_optimizer,
    unwrap,
    whole_parameters,
)
from parallel import Parallel
from sharded import needs_sharding, sharded
from twins import ALWAYS
from workers import in_workers, share
from wrapped_optimizers import SAM, Accelerated, Lightning
from zoo import ZOO

# ---- models --------------------------------------------------------------------------------------


def test_a_plain_model_is_its_own_inside():
    model = nn.Linear(2, 2)
    assert unwrap(model) is called_module(model) is model
    assert data_parallels(model) == []


def test_wrappers_are_looked_through_in_either_order():
    model = nn.Linear(2, 2)
    compiled = torch.compile(model)
    outside, inside = torch.compile(Parallel(model)), Parallel(compiled)
    assert unwrap(outside) is unwrap(inside) is unwrap(compiled) is model
    assert called_module(outside) is outside, "nothing inside a compiled module can be hooked"
    assert called_module(inside) is compiled
    assert called_module(Parallel(model)) is model


def test_parallel_models_in_containers_are_found():
    """A generator and a discriminator say, each in a DDP of its own, in one container."""
    first, second = Parallel(nn.Linear(2, 2)), Parallel(nn.Linear(2, 2))
    container = nn.ModuleDict({"generator": first, "other": nn.Sequential(second)})
    assert data_parallels(container) == [first, second]
    assert data_parallels(first) == [first]


def test_names_are_those_without_the_compiler():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    inner = model[1][0]
    model[1] = torch.compile(model[1])
    (name,) = [name for name, module in model.named_modules() if module is inner]
    assert name == "1._orig_mod.0"
    assert canonical_name(name) == "1.0"
    assert named_modules(model)["1.0"] is inner
    assert canonical_name("_orig_mod") == ""


# ---- optimizers ----------------------------------------------------------------------------------


def lookahead(model):
    inner = sgd(model)
    return Lookahead(inner, alpha=0.5, k=6), inner


def sam(model):
    outer = SAM(model.parameters(), torch.optim.SGD, lr=0.1)
    return outer, outer.base_optimizer


def around(wrapper):
    def wrapped(model):
        inner = sgd(model)
        return wrapper(inner), inner

    return wrapped


WRAPPED = {
    "Accelerate": around(Accelerated),
    "Lightning": around(Lightning),
    "both": around(lambda inner: Accelerated(Lightning(inner))),
    "Lookahead": lookahead,
    "SAM": sam,
}


@pytest.mark.parametrize("name", WRAPPED)
def test_the_optimizer_that_moves_the_weights_is_found(name):
    outer, inner = WRAPPED[name](ZOO["mlp"].model())
    assert torch_optimizer(outer) is inner
    assert torch_optimizer(inner) is inner


def test_what_holds_another_models_optimizer_is_no_wrapper():
    one, other = (sgd(ZOO["mlp"].model()) for _ in range(2))
    one.partner = other
    assert torch_optimizer(one) is one
    one.optimizer = one
    assert torch_optimizer(one) is one
    assert torch_optimizer("no optimizer") == "no optimizer"


def twice(entry, model, optimizer, batch):
    """A pass in each of SAM's two steps."""
    entry.backward(model, batch)
    optimizer.first_step()
    entry.backward(model, batch)
    optimizer.second_step()


def once(entry, model, optimizer, batch):
    entry.backward(model, batch)
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("name", WRAPPED)
def test_dropped_layers_stand_still_in_steps_of_a_wrapped_optimizer(name):
    """Lookahead moves all weights in every sixth step, after the step itself: that is its way."""
    entry = ZOO["mlp"]
    model = entry.model()
    outer, inner = WRAPPED[name](model)
    ldb = LayerDropBack(model, outer, Uniform(0.7), ALWAYS, lr_scale=2.0, verify=True)
    assert ldb.optimizers == (inner,)
    stood = 0
    for number, batch in enumerate(ldb.epoch(entry.batches(12), 0), start=1):
        dropped = dropped_names(ldb)
        before = {n: [p.detach().clone()] for n, p in model.named_parameters()}
        (twice if name == "SAM" else once)(entry, model, outer, batch)
        after = {n: [p.detach().clone()] for n, p in model.named_parameters()}
        if not (name == "Lookahead" and number % 6 == 0):
            assert unmoved(before, after) == dropped
        stood += len(dropped)
    assert stood
    assert ldb.stats()["step"] == 12
    assert ldb.stats()["drop_steps"] == 11
    assert inner.param_groups[0]["lr"] == 0.1


def test_a_plain_model_is_not_sharded():
    model = nn.Sequential(nn.Linear(2, 2))
    assert sharded_modules(model) == ()
    assert not is_sharded(model[0].weight)
    reshard(())


def look(rank):
    """What is whole before, in and after a forward pass without a backward pass."""
    entry = ZOO["vit"]
    model = sharded(entry.model())
    modules = sharded_modules(model)
    inside = []

    def hook(module, args, output):
        inside.append(sorted(name for name, _ in whole_parameters("blocks.1", module)))

    def whole():
        return [name for name, p in model.named_parameters() if not is_sharded(p)]

    model.blocks[1].register_forward_hook(hook, prepend=True)
    found = {"modules": [name for name, _ in modules], "before": whole()}
    with torch.no_grad():
        model(entry.batches(1)[0][0])
    found |= {"inside": inside[0], "left": whole()}
    reshard(modules)
    return found | {"after": whole()}


def resume(rank, state):
    """With all but the head dropped in the first forward pass of the process (pytorch#186998)."""
    entry = ZOO["vit"]
    precision = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    model = sharded(entry.model(), mp_policy=precision)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
    ldb = LayerDropBack(model, optimizer, Uniform(0.99))
    ldb.load_state_dict(state)
    for epoch in (1, 2):
        for batch in ldb.epoch(entry.batches(2), epoch):
            (images, targets) = share(batch, rank)
            loss = nn.functional.cross_entropy(model(images).float(), targets)
            loss.backward()
            kept = [p for p in model.parameters() if p.grad is not None]
            assert all(p.grad.dtype == torch.float32 for p in kept)
            assert (len(kept) == len(list(model.parameters()))) == (epoch == 2)
            optimizer.step()
            optimizer.zero_grad()
    return True


def both(rank, state):
    return {"looked": look(rank), "resumed": resume(rank, state)}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    entry = ZOO["vit"]
    model = entry.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
    ldb = LayerDropBack(model, optimizer, Uniform(0.99))
    entry.train(ldb, model, optimizer, [0])
    return in_workers(tmp_path_factory.mktemp("ranks"), both, ldb.state_dict())


@needs_sharding
def test_shards_and_whole_parameters_are_told_apart(ranks):
    names = [name for name, _ in ZOO["vit"].model().named_parameters()]
    for found in (rank["looked"] for rank in ranks):
        assert found["modules"] == ["", "blocks.0", "blocks.1"]
        assert found["before"] == []
        assert found["inside"] == sorted(name for name in names if name.startswith("blocks.1."))
        root = [name for name in names if not name.startswith("blocks.")]
        assert found["left"] == root, "a test leaves the root's parameters whole"
        assert found["after"] == []


@needs_sharding
def test_a_first_pass_that_drops_does_not_cost_the_precision(ranks):
    assert [rank["resumed"] for rank in ranks] == [True, True]
