"""What FSDP2 does to a model: shards and whole parameters, and when it decides on types."""

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy

from layerdropback import LayerDropBack, Uniform
from layerdropback.interop.sharding import (
    is_sharded,
    reshard,
    sharded_modules,
    whole_parameters,
)
from sharded import needs_sharding, sharded
from workers import in_workers, share
from zoo import ZOO


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
