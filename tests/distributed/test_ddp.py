"""DDP in real processes: replicas stay equal, and equal to one process on the whole batch."""

import contextlib

import pytest
import torch
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from layerdropback import AttachError, LayerDropBack
from workers import in_workers, share
from zoo import ZOO

STRATEGIES = ["uniform", "truncate", "branch", "adaptive"]
# Optimizer steps of each case; the first epoch is full.
EPOCHS, STEPS = 4, 6

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without distributed"
)


def parallel(model, **settings):
    return DistributedDataParallel(model, find_unused_parameters=True, **settings)


def train(model, entry, strategy, window, rank=None, hook=False):
    """Accumulate over windows of batches; a rank takes its share of each batch.

    Returns what was dropped in each step, and the bytes of gradients that ought to be sent.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    settings = {"unit": "tensor", "strategy": strategy, "verify": True}
    ldb = LayerDropBack(model, optimizer, drop_rate=0.6, **settings)
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


def train_all(rank):
    found = {}
    for strategy in STRATEGIES:
        for window in (1, 3):
            for hook in (False, True):
                entry = ZOO["vit"]
                model = parallel(entry.model(), gradient_as_bucket_view=window == 3)
                drops = train(model, entry, strategy, window, rank, hook)
                case = f"{strategy} {window} {hook}"
                found[case] = {"weights": model.module.state_dict(), "drops": drops}
    return found


@pytest.mark.parametrize(
    "count",
    [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)],
)
def test_workers_equal_one_process_and_each_other(count, tmp_path):
    """Every strategy, accumulating or not, sending all gradients or only those of what is kept."""
    ranks = in_workers(tmp_path, train_all, count=count)
    for strategy in STRATEGIES:
        for window in (1, 3):
            alone = ZOO["vit"].model()
            drops = train(alone, ZOO["vit"], strategy, window)
            everything = ranks[0][f"{strategy} {window} False"]
            for hook in (False, True):
                mine = [found[f"{strategy} {window} {hook}"] for found in ranks]
                for replica in mine:
                    assert replica["drops"] == drops
                    for name, value in alone.state_dict().items():
                        weight = replica["weights"][name]
                        assert torch.equal(weight, mine[0]["weights"][name]), "replicas differ"
                        torch.testing.assert_close(weight, value, rtol=1e-4, atol=1e-5)
                        if count <= 2:  # of more, the ring adds up in another order
                            assert torch.equal(weight, everything["weights"][name])


# ---- what is sent --------------------------------------------------------------------------------


def compressing(rank):
    """With a hook of torch's that compresses; then without this library, which has let go."""
    entry = ZOO["vit"]
    found = []
    for hook in (None, fp16_compress_hook):
        model = parallel(entry.model())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        ldb = LayerDropBack(model, optimizer, 0.5, every=1)
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


def test_a_compressing_hook_gets_what_is_kept_and_a_detached_one_all(tmp_path):
    first, second = in_workers(tmp_path, compressing)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    (plain, _), (compressed, _) = first
    torch.testing.assert_close(plain, compressed, rtol=1e-2, atol=1e-3)
    assert any(not torch.equal(plain[name], compressed[name]) for name in plain)


# ---- what is refused -----------------------------------------------------------------------------


def told(error):
    return str(error.value)


def refused(rank):
    entry, texts = ZOO["mlp"], {}
    model = parallel(entry.model())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(AttachError) as error:
        LayerDropBack(model, optimizer, seed=rank, every=1 + rank)
    texts["seed"] = told(error)
    ldb = LayerDropBack(model, optimizer, every=1)
    ldb.begin_epoch(0)
    if rank == 1:
        ldb.redraw()
    with pytest.raises(AttachError) as error:
        ldb.begin_epoch(1)
    texts["step"] = told(error)
    ldb.detach()

    ldb = LayerDropBack(model, optimizer, every=1)
    ldb.register_comm_hook()
    with pytest.raises(AttachError) as error:
        ldb.register_comm_hook()
    texts["twice"] = told(error)
    with ldb.epoch(None, 0):
        with model.no_sync():
            entry.backward(model, share(entry.batches(1)[0], rank))
        before = [p.detach().clone() for p in model.parameters()]
        with pytest.raises(AttachError) as error:
            optimizer.step()
        texts["no_sync"] = told(error)
        torch.testing.assert_close(list(model.parameters()), before, rtol=0, atol=0)
    ldb.detach()
    ldb = LayerDropBack(model, optimizer, drop_rate=0)  # plain training may do as it likes
    with ldb.epoch(None, 0), model.no_sync():
        entry.backward(model, share(entry.batches(1)[0], rank))
        optimizer.step()
    return texts


def test_ranks_that_disagree_and_steps_on_own_gradients_are_refused(tmp_path):
    first, second = in_workers(tmp_path, refused)
    assert first == second
    assert first["seed"] == (
        "cannot attach LayerDropBack: 1 problem\n"
        "  1. the ranks disagree: every is 1 on rank 0, 2 on rank 1; seed is 0 on rank 0, 1 on "
        "rank 1. Cause: masks are drawn from it, and the ranks would train different models. "
        "Cure: give every rank the same seed, settings and model, and load the same state on all."
    )
    assert first["step"].startswith(
        "cannot begin the epoch: 1 problem\n"
        "  1. the ranks disagree: step is 0 on rank 0, 1 on rank 1. Cause: "
    )
    assert (
        "the DDP model has a communication hook already. Cause: DDP takes only one"
        in (first["twice"])
    )
    assert "optimizer.step() was called on gradients that DDP has not reduced" in first["no_sync"]
    assert first["no_sync"].endswith("Cure: leave no_sync() for the last pass before each step.")


def test_a_model_of_one_process_takes_no_communication_hook():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    ldb = LayerDropBack(model, torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(AttachError, match="Sequential takes no communication hook. Cause: it is"):
        ldb.register_comm_hook()


# ---- what is learned -----------------------------------------------------------------------------


def cut(rank):
    """The second replica's batch is so small that its head costs more than all the rest."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    model = parallel(model.append(nn.Linear(64, 16)).append(nn.Linear(16, 16)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ldb = LayerDropBack(model, optimizer, 0.3, strategy="truncate")
    with ldb.epoch(None, 0):
        model(torch.ones(2, 3, *((4, 4) if rank else (32, 32)))).sum().backward()
        optimizer.step()
    return ldb.state_dict()["shares"]


def allocate(rank):
    """What cutting a branch changes is measured on each replica's own batch."""
    entry = ZOO["vit"]
    model = parallel(entry.model())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    settings = {"strategy": "branch", "allocate": "sensitivity", "every": 1, "start": 0}
    ldb = LayerDropBack(model, optimizer, 0.5, **settings)
    torch.manual_seed(rank)
    batches = [(entry.input(), entry.target()) for _ in range(12)]
    masks = []
    for batch in ldb.epoch(batches, 0):
        masks.append(None if ldb.mask is None else ldb.mask.tolist())
        entry.backward(model, batch)
        optimizer.step()
        optimizer.zero_grad()
    weights = ldb.state_dict()["weights"]
    return {"masks": masks, "weights": weights, "model": model.module.state_dict()}


def both(rank):
    return cut(rank), allocate(rank)


def test_replicas_with_batches_of_their_own_learn_the_same(tmp_path):
    first, second = in_workers(tmp_path, both)
    assert first[0] == second[0]
    assert 0.9 < first[0]["0"] < 1, "the first replica's costs count"
    assert first[1]["masks"] == second[1]["masks"]
    assert first[1]["masks"][:3] == [None] * 3
    assert None not in first[1]["masks"][3:]
    assert first[1]["weights"] == second[1]["weights"]
    torch.testing.assert_close(first[1]["model"], second[1]["model"], rtol=0, atol=0)
