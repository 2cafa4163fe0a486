"""Lightning on two ranks of the CPU: DDP and FSDP2, as `torchrun` sets them up."""

import itertools
import os

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch import nn
from torch.distributed.tensor import DTensor

from by_hand import heard
from layerdropback import AttachError, Branch, Schedule, Truncate, Uniform
from layerdropback.engine.passes import is_seen_through
from layerdropback.integrations.lightning import LayerDropBackCallback
from lightning_parallel import ByHand, Sharded, ShardedGan, Unsynced
from lightning_runs import (
    BATCHES,
    QUIET,
    SIZE,
    Classifier,
    Gan,
    Masks,
    samples,
    trainer,
)
from parallel import needs_distributed
from sharded import needs_sharding
from workers import in_workers

pytestmark = [
    pytest.mark.slow,
    needs_distributed,
    needs_sharding,
    *(pytest.mark.filterwarnings(text) for text in QUIET),
]

EPOCHS = 2
STRATEGIES = {"uniform": Uniform(0.5), "truncate": Truncate(0.4, "uniform"), "branch": Branch(0.5)}


def launched(rank):
    """What `torchrun` reports to each process."""
    world = str(torch.distributed.get_world_size())
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"}
    os.environ |= {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "TORCHELASTIC_RUN_ID": "none"}


def ddp():
    return DDPStrategy(find_unused_parameters=True)


def fsdp():
    return ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)


# ---- modules -------------------------------------------------------------------------------------


PLAIN = {
    "self": Classifier,
    "net": lambda: Classifier("net"),
    "halves": lambda: Classifier("halves"),
    "by hand": ByHand,
    "gan": Gan,
    "gan that toggles": lambda: Gan(toggles=True),
}
SHARDED = {
    "sharded net": (lambda: Sharded("net"), lambda: Classifier("net")),
    "sharded gan": (ShardedGan, Gan),
}
MODULES = {name: (make, make) for name, make in PLAIN.items()} | SHARDED
CASES = [(module, name) for module in MODULES for name in STRATEGIES]
CASES = [case for case in CASES if case[0] != "sharded gan" or case[1] == "uniform"]


def dropping(module, name):
    """A generator's last layer is always kept, and limits what can be cut off."""
    return Truncate(0.15, "uniform") if name == "truncate" and "gan" in module else STRATEGIES[name]


# ---- runs ----------------------------------------------------------------------------------------


def whole(weights):
    """Weights that every rank has in whole; a shard is gathered."""
    return {n: w.full_tensor() if isinstance(w, DTensor) else w for n, w in weights.items()}


def in_order(data, ranks):
    """Lightning's own sampler would shuffle."""
    return None if ranks == 1 else torch.utils.data.DistributedSampler(data, shuffle=False)


def trained(module, drops, strategy=None, *more, settings=None, resume=None, **changes):
    """Masks and weights of all steps; each rank takes its share of a batch, if there are ranks."""
    ranks = 1 if strategy is None else torch.distributed.get_world_size()
    data = torch.utils.data.ConcatDataset([samples(SIZE)] * BATCHES) if resume else samples()
    loader = torch.utils.data.DataLoader(data, SIZE // ranks, sampler=in_order(data, ranks))
    changes = {"max_epochs": EPOCHS, "devices": ranks} | changes
    changes |= {} if strategy is None else {"strategy": strategy}
    callback = LayerDropBackCallback(drops, **({"seed": 5, "verify": True} | (settings or {})))
    masks = Masks(callback)
    path = resume if resume != "no" else None
    with heard() as texts:
        trainer(callback, masks, *more, **changes).fit(module, loader, ckpt_path=path)
    assert not [text for text in texts if "Cause:" in text]
    assert not is_seen_through(module), "nothing is left behind"
    stats = callback.ldb.stats()
    return {
        "masks": masks.found,
        "weights": [whole(weights) for weights in module.weights],
        "stats": [stats["step"], stats["drop_steps"]],
        "sent": stats["gradient_bytes"],
    }


class Sends(Callback):
    """Registers the hook that sends no dropped gradients."""

    def on_train_start(self, trainer, module):
        (ours,) = (c for c in trainer.callbacks if isinstance(c, LayerDropBackCallback))
        ours.ldb.register_comm_hook()


FEATURES = {
    "accumulated": {"accumulate_grad_batches": 2},
    "uneven": {"accumulate_grad_batches": 4},
    "larger batches": {"settings": {"batch_scale": 2, "schedule": Schedule(every=2, start=1)}},
    "clipped": {"gradient_clip_val": 0.1},
}


RESUMED = {
    "self": (Classifier, ddp),
    "by hand": (ByHand, ddp),
    "gan": (Gan, ddp),
    "sharded net": (lambda: Sharded("net"), fsdp),
}


def resumed(name, folder):
    """The end of a run that was saved in the middle of a drop epoch, and of one that was not."""
    make, launch = RESUMED[name]
    at = 26 if name == "gan" else 13  # steps of all optimizers
    drops, settings = Uniform(0.5), {"schedule": Schedule(every=2, start=1)}
    saving = ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=at)
    changes = {"settings": settings, "enable_checkpointing": True}
    run = trained(make(), drops, launch(), saving, resume="no", **changes)
    fresh = make()
    for parameter in fresh.parameters():
        nn.init.zeros_(parameter)
    rest = trained(fresh, drops, launch(), resume=folder / f"step={at}.ckpt", settings=settings)
    return [run, rest]


def refused(strategy, make=Classifier):
    with pytest.raises(AttachError) as error:
        trained(make(), Uniform(0.5), strategy)
    return str(error.value)


def everything(rank, folder):
    launched(rank)
    found = {}
    for module, name in CASES:
        launch = fsdp if module in SHARDED else ddp
        found[f"{module} {name}"] = trained(MODULES[module][0](), dropping(module, name), launch())
    for feature, changes in FEATURES.items():
        found[feature] = trained(Classifier(), Uniform(0.5), ddp(), **changes)
    found["hook"] = trained(Classifier(), Uniform(0.5), ddp(), Sends())
    found["rate zero"] = trained(Classifier(), Uniform(0), "ddp")
    for name in RESUMED:
        found[f"resumed {name}"] = resumed(name, folder / name)
    found["refused"] = refused("ddp")
    found["forward unsynced"] = trained(Unsynced("forward"), Uniform(0.5), ddp())
    found["backward unsynced"] = refused(ddp(), lambda: Unsynced("backward"))
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two ranks found."""
    return in_workers(
        tmp_path_factory.mktemp("ranks"), everything, tmp_path_factory.mktemp("saved")
    )


def same_on_both(name, two):
    """What a rank found, which is what the other one did."""
    first, second = (rank[name] for rank in two)
    assert first["masks"] == second["masks"]
    assert (first["stats"], first["sent"]) == (second["stats"], second["sent"])
    torch.testing.assert_close(first["weights"], second["weights"], rtol=0, atol=0)
    return first


def assert_like(mine, alone):
    """A run on ranks, and one of a process with the whole batches."""
    assert mine["masks"] == alone["masks"]
    assert mine["stats"] == alone["stats"]
    torch.testing.assert_close(mine["weights"], alone["weights"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("module", "name"), CASES)
def test_two_ranks_train_like_one_process(module, name, two):
    alone = trained(MODULES[module][1](), dropping(module, name))
    assert_like(same_on_both(f"{module} {name}", two), alone)
    assert any(alone["masks"])


@pytest.mark.parametrize(("module", "name"), CASES)
def test_only_what_is_dropped_stands_still(module, name, two):
    run = two[0][f"{module} {name}"]
    masks = run["masks"][1::2] if "gan" in module else run["masks"]  # two optimizers, one mask
    steps = zip(masks[1:], itertools.pairwise(run["weights"]), strict=True)
    for dropped, (before, after) in steps:
        assert dropped == {n for n in before if torch.equal(before[n], after[n])}


@pytest.mark.parametrize("feature", FEATURES)
def test_the_trainers_features_on_two_ranks(feature, two):
    mine = same_on_both(feature, two)
    assert_like(mine, trained(Classifier(), Uniform(0.5), **FEATURES[feature]))
    assert any(mine["masks"])


def test_dropped_gradients_are_not_sent(two):
    mine, others = same_on_both("hook", two), two[0]["self uniform"]
    assert mine["masks"] == others["masks"]
    torch.testing.assert_close(mine["weights"], others["weights"], rtol=0, atol=0)
    everything = len(mine["masks"]) * sum(w.nbytes for w in mine["weights"][0].values())
    assert 0 < mine["sent"] < 0.8 * everything
    assert others["sent"] is None


@pytest.mark.parametrize("name", RESUMED)
def test_a_run_goes_on_from_the_middle_of_a_drop_epoch_bit_for_bit(name, two):
    for rank in two:
        run, rest = rank[f"resumed {name}"]
        assert len(rest["weights"]) == EPOCHS * BATCHES - 13
        assert rest["masks"] == run["masks"][-len(rest["masks"]) :]
        assert any(rest["masks"])
        torch.testing.assert_close(rest["weights"], run["weights"][13:], rtol=0, atol=0)


def test_plain_ddp_is_refused_with_lightnings_cure_where_anything_drops(two):
    for rank in two:
        assert not any(rank["rate zero"]["masks"])
        text = rank["refused"]
        assert "the model is DDP without find_unused_parameters. Cause: " in text
        assert text.endswith('Cure: Trainer(strategy="ddp_find_unused_parameters_true").')


def test_by_hand_it_is_the_backward_pass_that_must_not_be_under_no_sync(two):
    mine = same_on_both("forward unsynced", two)
    torch.testing.assert_close(mine["weights"], two[0]["by hand uniform"]["weights"])
    for rank in two:
        assert "on gradients that DDP has not reduced" in rank["backward unsynced"]
