"""FSDP2 in real processes: sharded training equals one process's, and sends less when it drops."""

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from layerdropback import LayerDropBack
from workers import in_workers, share
from zoo import ZOO

STRATEGIES = ["uniform", "truncate", "branch", "adaptive"]
EPOCHS, STEPS = 4, 6
PARTS = ("model", "optimizer")
FULL = StateDictOptions(full_state_dict=True)

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without distributed"
)


def sharded(model, **settings):
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    for block in model.blocks:
        fully_shard(block, mesh=mesh, **settings)
    return fully_shard(model, mesh=mesh, **settings)


def attach(model, strategy, **more):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    settings = {"unit": "tensor", "strategy": strategy, "verify": True} | more
    return optimizer, LayerDropBack(model, optimizer, drop_rate=0.6, **settings)


def train(model, entry, optimizer, ldb, window, rank=None, epochs=range(EPOCHS)):
    """Accumulate over windows of batches; a rank takes its share of each batch."""
    batches = entry.batches(STEPS * window)
    drops = []
    for epoch in epochs:
        for number, batch in enumerate(ldb.epoch(batches, epoch)):
            last = number % window == window - 1
            if rank is not None:
                model.set_requires_gradient_sync(last)
            entry.backward(model, share(batch, rank))
            if last:
                drops.append([] if ldb.mask is None else ldb.mask.tolist())
                optimizer.step()
                optimizer.zero_grad()
        with torch.no_grad():  # a test leaves the root's parameters whole
            model(batches[0][0])
    return drops


def train_all(rank):
    found = {}
    for strategy in STRATEGIES:
        for window in (1, 3):
            entry = ZOO["vit"]
            model = sharded(entry.model())
            optimizer, ldb = attach(model, strategy)
            drops = train(model, entry, optimizer, ldb, window, rank)
            weights = get_model_state_dict(model, options=FULL)
            found[f"{strategy} {window}"] = {"weights": weights, "drops": drops}
    return found


@pytest.mark.parametrize(
    "count",
    [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)],
)
def test_shards_train_like_one_process(count, tmp_path):
    ranks = in_workers(tmp_path, train_all, count=count)
    for strategy in STRATEGIES:
        for window in (1, 3):
            entry = ZOO["vit"]
            alone = entry.model()
            drops = train(alone, entry, *attach(alone, strategy), window)
            assert any(any(mask) for mask in drops)
            found = [rank[f"{strategy} {window}"] for rank in ranks]
            assert all(one["drops"] == drops for one in found)
            for name, value in alone.state_dict().items():
                weight = found[0]["weights"][name]
                torch.testing.assert_close(weight, value, rtol=1e-4, atol=1e-5)


# ---- what is sent --------------------------------------------------------------------------------


def count_bytes(rank):
    """Bytes that each step gives to reduce-scatter, by what it drops; blocks are dropped whole."""
    sent = []

    def counting(collective):
        def counted(*args, **kwargs):
            tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, torch.Tensor)]
            sent[-1] += max(tensor.nbytes for tensor in tensors)
            return collective(*args, **kwargs)

        return counted

    for name in ("reduce_scatter_single", "reduce_scatter_tensor"):  # its names in torch
        if hasattr(torch.distributed, name):
            collective = getattr(torch.distributed, name)
            setattr(torch.distributed, name, counting(collective))
    entry = ZOO["vit"]
    model = sharded(entry.model())
    optimizer, ldb = attach(model, "uniform", unit="block", every=1)
    names = list(ldb.stats()["times_dropped"])
    blocks = [name for name in names if name.startswith("blocks.")]
    found = []
    for batch in ldb.epoch(entry.batches(12), 1):
        mask = {} if ldb.mask is None else dict(zip(names, ldb.mask, strict=True))
        sent.append(0)
        entry.backward(model, share(batch, rank))
        found.append((sum(bool(mask.get(block)) for block in blocks), sent[-1]))
        optimizer.step()
        optimizer.zero_grad()
    size = sum(p.numel() for p in model.blocks[0].parameters())
    own = [(ldb.stats()["gradient_bytes"], sum(sent)), *count_in_other_types(rank, sent)]
    ldb.detach()
    entry.backward(model, share(entry.batches(1)[0], rank))
    own.append((ldb.stats()["gradient_bytes"], own[0][1]))
    hooks = [p._post_accumulate_grad_hooks for p in model.parameters()]
    return [found, 4 * size, own, sum(map(len, hooks))]


def count_in_other_types(rank, sent):
    """The library's count and that of the calls, with accumulation and what is unfrozen later."""
    entry, half = ZOO["vit"], torch.bfloat16
    for types in ((half, torch.float32), (half, None), (None, None)):
        model = sharded(entry.model(), mp_policy=MixedPrecisionPolicy(*types))
        model.head.weight.requires_grad_(types[0] is not None)
        _, ldb = attach(model, "uniform", verify=False)
        assert model.head.weight.requires_grad == (types[0] is not None)
        sent.append(0)
        with ldb.epoch(None, 0):
            for number, batch in enumerate(entry.batches(4)):
                model.set_requires_gradient_sync(number % 2 == 1)
                if number == 2:
                    model.head.weight.requires_grad_(True)
                images, targets = share(batch, rank)
                nn.functional.cross_entropy(model(images).float(), targets).backward()
        yield ldb.stats()["gradient_bytes"], sent[-1]


def test_gradients_of_dropped_blocks_are_not_sent(together):
    (found, block, *_), second = (rank["bytes"] for rank in together)
    assert second[:2] == [found, block]
    full = found[0][1]
    assert {dropped for dropped, _ in found} == {0, 1, 2}
    for dropped, sent in found:
        assert sent <= full - dropped * block, "other layers are dropped beside"


def test_the_librarys_own_count_is_that_of_the_calls(together):
    for rank in together:
        _, _, own, hooks = rank["bytes"]
        assert all(ours == called > 0 for ours, called in own)
        assert len({called for _, called in own}) > 2
        assert hooks == 0, "detached"


# ---- precision, states ---------------------------------------------------------------------------


def resume_in_a_drop_step(rank, state):
    """With all but the head dropped in the first forward pass of the process (pytorch#186998)."""
    entry = ZOO["vit"]
    precision = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    model = sharded(entry.model(), mp_policy=precision)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
    ldb = LayerDropBack(model, optimizer, drop_rate=0.99, every=2)
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


def test_a_first_pass_that_drops_does_not_cost_the_precision(together):
    assert [rank["resumed"] for rank in together] == [True, True]


def go_on(rank, folder, epoch):
    """Load what other workers saved, if any, train for an epoch, and save."""
    entry = ZOO["vit"]
    model = sharded(entry.model())
    optimizer, ldb = attach(model, "uniform")
    if epoch:
        parts = dict(zip(PARTS, get_state_dict(model, optimizer), strict=True))
        dcp.load(parts, checkpoint_id=folder / str(epoch - 1))
        set_state_dict(
            model,
            optimizer,
            model_state_dict=parts["model"],
            optim_state_dict=parts["optimizer"],
        )
        ldb.load_state_dict(torch.load(folder / f"ldb{epoch - 1}", weights_only=True))
    drops = train(model, entry, optimizer, ldb, 1, rank, epochs=[epoch])
    with ldb.epoch(entry.batches(1), epoch + 1):  # in the midst of an epoch, too
        parts = dict(zip(PARTS, get_state_dict(model, optimizer), strict=True))
        dcp.save(parts, checkpoint_id=folder / str(epoch))
    if rank == 0:
        torch.save(ldb.state_dict(), folder / f"ldb{epoch}")
    return {"weights": get_model_state_dict(model, options=FULL), "drops": drops}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:UserWarning:torch.distributed")
def test_two_workers_four_and_one_go_on_with_each_others_checkpoints(tmp_path):
    entry = ZOO["vit"]
    alone = entry.model()
    optimizer, ldb = attach(alone, "uniform")
    for epoch, count in enumerate((2, 4, 1, 2)):
        folder = tmp_path / f"{epoch}"
        folder.mkdir()
        found = in_workers(folder, go_on, tmp_path, epoch, count=count)
        drops = train(alone, entry, optimizer, ldb, 1, epochs=[epoch])
        assert all(one["drops"] == drops for one in found)
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(found[0]["weights"][name], value, rtol=1e-4, atol=1e-5)


def allocate(rank):
    found = {}
    for strategy in ("uniform", "branch"):
        entry = ZOO["vit"]
        model = sharded(entry.model())
        more = {"allocate": "sensitivity", "every": 1, "start": 0}
        optimizer, ldb = attach(model, strategy, **more)
        train(model, entry, optimizer, ldb, 1, rank, epochs=[0])
        found[strategy] = ldb.state_dict()["weights"]
    return found


def test_what_dropping_changes_is_measured_of_whole_gradients(together):
    first, second = (rank["weights"] for rank in together)
    assert first == second
    for strategy in ("uniform", "branch"):
        entry = ZOO["vit"]
        alone = entry.model()
        more = {"allocate": "sensitivity", "every": 1, "start": 0}
        optimizer, ldb = attach(alone, strategy, **more)
        train(alone, entry, optimizer, ldb, 1, epochs=[0])
        weights = ldb.state_dict()["weights"]
        if strategy == "uniform":  # a branch's is measured on the first rank's own batch
            torch.testing.assert_close(first[strategy], weights, rtol=1e-3, atol=1e-6)
        else:
            assert first[strategy].keys() == weights.keys()


# ---- what needs workers only once ----------------------------------------------------------------


def all_of_these(rank, state):
    resumed = resume_in_a_drop_step(rank, state)
    return {"resumed": resumed, "weights": allocate(rank), "bytes": count_bytes(rank)}


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two workers found."""
    entry = ZOO["vit"]
    model = entry.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
    ldb = LayerDropBack(model, optimizer, drop_rate=0.99, every=2)
    entry.train(ldb, model, optimizer, [0])
    return in_workers(tmp_path_factory.mktemp("workers"), all_of_these, ldb.state_dict())
