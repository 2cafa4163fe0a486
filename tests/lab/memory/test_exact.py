"""What is predicted is what a real run on the CPU takes, to the byte."""

from functools import partial

import pytest
import torch

import memory_models as models
from layerdropback import Branch
from layerdropback.lab import count_memory, predict_memory

# Some kinds by default, each with an arm of its own; all of them with the slow tests.
QUICK = {
    ("gpt2", "truncate", False),
    ("llama", "blocks", False),
    ("bert", "lora", False),
    ("resnet", "truncate", True),
}
CASES = [(k, a, c) for k in models.KINDS for a in models.ARMS for c in (False, True)]


def adamw(model):
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def both(make_model, make_optimizer, make_batch, strategy=None, **more):
    """Predicted and counted."""
    given = (make_model, make_optimizer, make_batch, strategy)
    return predict_memory(*given, device="cpu", **more), count_memory(*given, **more)


@pytest.mark.filterwarnings("ignore:.*use_cache=True.*")
@pytest.mark.parametrize(
    ("kind", "arm", "checkpointing"),
    [
        pytest.param(
            *case, marks=() if case in QUICK else pytest.mark.slow, id="-".join(map(str, case))
        )
        for case in CASES
    ],
)
def test_predicted_is_counted(kind, arm, checkpointing):
    make = partial(models.make_model, kind, arm, checkpointing)
    strategy = models.STRATEGIES.get(arm)
    predicted, counted = both(make, adamw, partial(models.make_batch, kind), strategy)
    assert predicted == counted
    assert 0 < counted.trained < counted.parameters or arm == "full"


OPTIMIZERS = {
    "loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "amsgrad": {"amsgrad": True},
}


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(how, marks=pytest.mark.slow if how in ("loop", "fused") else ())
        for how in OPTIMIZERS
    ],
)
def test_for_every_way_in_which_adamw_is_made(how):
    def make(model):
        return torch.optim.AdamW(model.parameters(), **OPTIMIZERS[how])

    predicted, counted = both(models.llama, make, models.tokens)
    assert predicted == counted
    states = 3 if how == "amsgrad" else 2
    tensors = len(list(models.llama().parameters()))
    assert counted.kinds["states"] == 4 * (states * counted.parameters + tensors)


def test_for_sgd_which_needs_nothing_and_with_momentum():
    plain = both(models.resnet, lambda m: torch.optim.SGD(m.parameters()), models.images)
    assert plain[0] == plain[1]
    assert "states" not in plain[0].kinds

    def momentum(model):
        return torch.optim.SGD(model.parameters(), momentum=0.9)

    predicted, counted = both(models.resnet, momentum, models.images)
    assert predicted == counted
    assert counted.kinds["states"] == 4 * counted.parameters


@pytest.mark.parametrize("kind", ["llama", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_under_autocast_and_in_lower_precision(kind):
    make = partial(models.make_model, kind)
    batch = partial(models.make_batch, kind)
    predicted, counted = both(make, adamw, batch, autocast=torch.bfloat16)
    assert predicted == counted
    lower, same = both(lambda: make().bfloat16(), adamw, batch)
    assert lower == same
    assert lower.kinds["parameters"] * 2 == predicted.kinds["parameters"]


def test_with_branches_that_drop():
    make = partial(models.make_model, "vit")
    predicted, counted = both(make, adamw, models.vit_batch, Branch(0.3))
    assert predicted == counted


def allocators_peak(model, optimizer, batch):
    """The peak of a second step, from the events of torch's own allocator."""

    def step():
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    states = [v for state in optimizer.state.values() for v in state.values()]
    lasting = [*model.parameters(), *model.buffers(), *states, *batch.values()]
    sizes = {id(t.untyped_storage()): t.untyped_storage().nbytes() for t in lasting}
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
        step()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = sum(sizes.values())
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


@pytest.mark.parametrize("arm", ["full", pytest.param("lora", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "kind",
    ["gpt2", *(pytest.param(k, marks=pytest.mark.slow) for k in ("vit", "llama", "bert"))],
)
def test_the_allocators_own_events_agree_within_a_thousandth(kind, arm):
    """Not for convolutions: the CPU's kernels take scratch, which is not counted."""
    make, batch = partial(models.make_model, kind, arm), partial(models.make_batch, kind)
    predicted = predict_memory(make, adamw, batch, device="cpu")
    model = make().train()
    measured = allocators_peak(model, adamw(model), batch())
    assert predicted.peak == pytest.approx(measured, rel=1e-3)
