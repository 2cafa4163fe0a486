"""DDP in real processes: replicas stay equal, and equal to one process on the whole batch."""

import contextlib

import pytest
import torch
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from attached import NAMES, dropping
from layerdropback import AttachError, LayerDropBack, Uniform
from parallel import needs_distributed
from twins import ALWAYS
from workers import in_workers, share
from zoo import ZOO

pytestmark = needs_distributed

# Optimizer steps of each case; the first epoch is full.
EPOCHS, STEPS = 2, 6
# Strategies with windows of batches: in turns by default, and each with each.
TURNS = [("uniform", 3), ("truncate", 1), ("branch", 3)]
EACH = [(name, window) for name in NAMES for window in (1, 3)]


def parallel(model, **settings):
    return DistributedDataParallel(model, find_unused_parameters=True, **settings)


def train(model, entry, strategy, window, rank=None, hook=False):
    """Accumulate over windows of batches; a rank takes its share of each batch.

    Returns what was dropped in each step.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    ldb = LayerDropBack(model, optimizer, dropping(strategy, 0.6, unit="tensor"), verify=True)
    if hook:
        ldb.register_comm_hook()
    batches = entry.batches(STEPS * window)
    drops, due = [], 0
    for epoch in range(EPOCHS):
        for number, batch in enumerate(ldb.epoch(batches, epoch)):
            last = number % window == window - 1
            held = contextlib.nullcontext() if last or rank is None else model.no_sync()
            with held:
                entry.backward(model, share(batch, rank))
            if last:
                drops.append([] if ldb.mask is None else ldb.mask.tolist())
                due += sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
                optimizer.step()
                optimizer.zero_grad()
    assert any(any(mask) for mask in drops)
    sent = ldb.stats()["gradient_bytes"]
    assert sent == (due if hook else None)
    ldb.detach()
    return drops


def train_all(rank, cases):
    found = {}
    for case in ((*pair, hook) for pair in cases for hook in (False, True)):
        strategy, window, hook = case
        model = parallel(ZOO["vit"].model(), gradient_as_bucket_view=window == 3)
        drops = train(model, ZOO["vit"], strategy, window, rank, hook)
        found[str(case)] = {"weights": model.module.state_dict(), "drops": drops}
    return found


@pytest.mark.parametrize("strategy", NAMES)
def test_ranks_equal_one_process_and_each_other(strategy, two):
    """Every strategy, sending all gradients or only those of what is kept."""
    window = dict(TURNS)[strategy]
    compare(strategy, window, [rank["trained"] for rank in two])


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 4])
def test_so_do_any_number_of_ranks_accumulating_or_not(count, tmp_path):
    ranks = in_workers(tmp_path, train_all, EACH, count=count)
    for strategy, window in EACH:
        compare(strategy, window, ranks)


def compare(strategy, window, ranks):
    alone = ZOO["vit"].model()
    drops = train(alone, ZOO["vit"], strategy, window)
    everything = ranks[0][str((strategy, window, False))]
    for hook in (False, True):
        mine = [found[str((strategy, window, hook))] for found in ranks]
        for replica in mine:
            assert replica["drops"] == drops
            for name, value in alone.state_dict().items():
                weight = replica["weights"][name]
                assert torch.equal(weight, mine[0]["weights"][name]), "replicas differ"
                torch.testing.assert_close(weight, value, rtol=1e-4, atol=1e-5)
                if len(ranks) <= 2:  # of more, the ring adds up in another order
                    assert torch.equal(weight, everything["weights"][name])


# ---- what is sent --------------------------------------------------------------------------------


def compressing(rank):
    """With a hook of torch's that compresses; then without this library, which has let go."""
    entry = ZOO["vit"]
    found = []
    for hook in (None, fp16_compress_hook):
        model = parallel(entry.model())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        ldb = LayerDropBack(model, optimizer, Uniform(0.5), ALWAYS)
        ldb.register_comm_hook(hook)
        for batch in ldb.epoch(entry.batches(6), 0):
            entry.backward(model, share(batch, rank))
            optimizer.step()
            optimizer.zero_grad()
        sent = ldb.stats()["gradient_bytes"]
        ldb.detach()
        entry.backward(model, share(entry.batches(1)[0], rank))
        gradients = [p.grad for p in model.parameters()]
        assert all(gradient is not None for gradient in gradients)
        assert ldb.stats()["gradient_bytes"] == sent + sum(g.nbytes for g in gradients)
        found.append([model.module.state_dict(), dict(enumerate(gradients))])
    return found


def test_a_compressing_hook_gets_what_is_kept_and_a_detached_one_all(two):
    first, second = (rank["compressed"] for rank in two)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    (plain, _), (compressed, _) = first
    torch.testing.assert_close(plain, compressed, rtol=1e-2, atol=1e-3)
    assert any(not torch.equal(plain[name], compressed[name]) for name in plain)


# ---- several in a container ----------------------------------------------------------------------


class Chained(nn.Module):
    """An encoder and a head, each in a DDP of its own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        encoder = nn.Sequential(*(nn.Linear(8, 8) for _ in range(3)))
        self.encoder, self.head = encoder, nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))

    def forward(self, x):
        return self.head(torch.tanh(self.encoder(x)))


def chained(rank=None):
    model = Chained()
    if rank is not None:
        model.encoder, model.head = parallel(model.encoder), parallel(model.head)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ldb = LayerDropBack(model, optimizer, Uniform(0.5), ALWAYS, verify=True)
    if rank is not None:
        ldb.register_comm_hook()
    torch.manual_seed(2)
    drops = []
    for (batch,) in ldb.epoch([(torch.randn(4, 8),) for _ in range(6)], 0):
        drops.append([] if ldb.mask is None else ldb.mask.tolist())
        model(*share((batch,), rank)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return {"drops": drops, "weights": [p.detach().clone() for p in model.parameters()]}


def test_several_parallel_models_in_one_container(two):
    first, second = (rank["chained"] for rank in two)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    alone = chained()
    assert first["drops"] == alone["drops"]
    assert any(map(any, alone["drops"]))
    torch.testing.assert_close(first["weights"], alone["weights"], rtol=1e-4, atol=1e-6)


# ---- DDP that comes after the attachment --------------------------------------------------------


def coming_late(rank, strategy):
    """Masks and weights; `register_comm_hook` works from the first pass on."""
    entry = ZOO["vit"]
    model = entry.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    ldb = LayerDropBack(model, optimizer, dropping(strategy, 0.6), ALWAYS, verify=True)
    wrapped = model if rank is None else parallel(model)
    drops = []
    for epoch in range(EPOCHS):
        if epoch > 0 and rank is not None:
            ldb.register_comm_hook()
        for batch in ldb.epoch(entry.batches(STEPS), epoch):
            drops.append([] if ldb.mask is None else ldb.mask.tolist())
            entry.backward(wrapped, share(batch, rank))
            optimizer.step()
            optimizer.zero_grad()
    sent = ldb.stats()["gradient_bytes"]
    return {"drops": drops, "weights": model.state_dict(), "sent": sent}


def refused_late(rank):
    """The errors of the first passes in a DDP model that came late; no weight has moved."""
    entry = ZOO["mlp"]
    (batch,) = entry.batches(1)

    def told(unused=True, steps=0, held=contextlib.nullcontext, **settings):
        model = entry.model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        ldb = LayerDropBack(model, optimizer, Uniform(0.5), ALWAYS, **settings)
        before = [p.detach().clone() for p in model.parameters()]
        for _ in range(steps):
            ldb.redraw()
        wrapped = DistributedDataParallel(model, find_unused_parameters=unused)
        with ldb.epoch(None, 0), pytest.raises(AttachError) as error:
            with held(wrapped):
                entry.backward(wrapped, share(batch, rank))
            optimizer.step()
        torch.testing.assert_close(list(model.parameters()), before, rtol=0, atol=0)
        return str(error.value)

    return {
        "seed": told(seed=rank),
        "step": told(steps=rank),
        "unused": told(unused=rank == 0),
        "no_sync": told(held=DistributedDataParallel.no_sync),
    }


@pytest.mark.parametrize("strategy", NAMES)
def test_ddp_may_come_after_the_attachment(strategy, two):
    first, second = (rank["late"][strategy] for rank in two)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    alone = coming_late(None, strategy)
    assert first["drops"] == alone["drops"]
    assert any(map(any, alone["drops"]))
    torch.testing.assert_close(first["weights"], alone["weights"], rtol=1e-4, atol=1e-5)
    whole = STEPS * sum(weight.nbytes for weight in first["weights"].values())
    assert 0 < first["sent"] < 0.9 * whole


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("seed", "the ranks disagree: seed is 0 on rank 0, 1 on rank 1. Cause: "),
        ("step", "the ranks disagree: step is 0 on rank 0, 1 on rank 1. Cause: "),
        ("unused", "the model is DDP without find_unused_parameters. Cause: "),
        ("no_sync", "optimizer.step() was called on gradients that DDP has not reduced. Cause: "),
    ],
)
def test_what_is_wrong_with_it_is_raised_on_both_ranks(case, words, two):
    first, second = (rank["refused late"][case] for rank in two)
    assert words in first
    assert words in second


# ---- what is refused -----------------------------------------------------------------------------


def unreduced(rank):
    """A step on each rank's own gradients, in a drop step and in plain training."""
    entry = ZOO["mlp"]
    model = parallel(entry.model())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ldb = LayerDropBack(model, optimizer, Uniform(0.5), ALWAYS)
    ldb.register_comm_hook()
    with ldb.epoch(None, 0):
        with model.no_sync():
            entry.backward(model, share(entry.batches(1)[0], rank))
        before = [p.detach().clone() for p in model.parameters()]
        with pytest.raises(AttachError) as error:
            optimizer.step()
        torch.testing.assert_close(list(model.parameters()), before, rtol=0, atol=0)
    ldb.detach()
    ldb = LayerDropBack(model, optimizer, Uniform(0))  # plain training may do as it likes
    with ldb.epoch(None, 0), model.no_sync():
        entry.backward(model, share(entry.batches(1)[0], rank))
        optimizer.step()
    return str(error.value)


def test_a_step_on_a_ranks_own_gradients_is_refused_before_a_weight_moves(two):
    for text in (rank["unreduced"] for rank in two):
        assert "optimizer.step() was called on gradients that DDP has not reduced" in text
        assert text.endswith("Cure: leave no_sync() for the last pass before each step.")


# ---- what needs processes only once --------------------------------------------------------------


def everything(rank):
    found = {"trained": train_all(rank, TURNS), "compressed": compressing(rank)}
    found |= {"late": {strategy: coming_late(rank, strategy) for strategy in NAMES}}
    found |= {"chained": chained(rank), "unreduced": unreduced(rank)}
    return found | {"refused late": refused_late(rank)}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two ranks found."""
    return in_workers(tmp_path_factory.mktemp("ranks"), everything)
