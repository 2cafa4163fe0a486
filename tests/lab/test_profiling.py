"""Profiles of models whose cost is known, because their layers sleep, and of real ones."""

import itertools
import json
import time
from statistics import fmean

import pytest
import torch
from torch import nn

from layerdropback import Truncate, Uniform
from layerdropback.engine import steps, watch
from layerdropback.lab.held import SavedBytes
from layerdropback.lab.profiling.bench import Bench, Phases, time_phases
from layerdropback.lab.profiling.blocks import REST, BlockCost, block_costs
from layerdropback.lab.profiling.cost import step_costs
from layerdropback.lab.profiling.profile import Profile, profile
from layerdropback.lab.profiling.report import as_text, parts, sentence
from layerdropback.lab.profiling.saving import UNTIMED_PAIRS, Saving, saving_of
from zoo import ZOO

FORWARD, ACTIVATIONS, WEIGHTS = 0.004, 0.008, 0.012  # seconds that a layer sleeps


class Sleeps(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs, weight):
        ctx.save_for_backward(inputs, weight)
        if inputs.device.type == "cpu":  # not where only FLOPs are counted
            time.sleep(FORWARD)
        return inputs @ weight

    @staticmethod
    def backward(ctx, gradient):
        inputs, weight = ctx.saved_tensors
        awake = inputs.device.type != "cpu"
        of_inputs = of_weight = None
        if ctx.needs_input_grad[0]:
            time.sleep(0 if awake else ACTIVATIONS)
            of_inputs = gradient @ weight.T
        if ctx.needs_input_grad[1]:
            time.sleep(0 if awake else WEIGHTS)
            of_weight = inputs.T @ gradient
        return of_inputs, of_weight


class Sleeper(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(4))

    def forward(self, inputs):
        return Sleeps.apply(inputs, self.weight)


def sleepers(depth):
    return Bench(nn.Sequential(*(Sleeper() for _ in range(depth))), torch.ones(2, 4))


def test_phases_are_told_apart(clock):
    phases = time_phases(sleepers(4), steps=5, warmup=1)
    assert phases.n == 5
    assert phases.forward == pytest.approx(4 * FORWARD)
    # With frozen weights the first layer passes a gradient to the input, too: 4 and not 3.
    assert phases.activations == pytest.approx(4 * ACTIVATIONS)
    assert phases.weights == pytest.approx(4 * WEIGHTS - ACTIVATIONS)
    assert phases.optimizer == 0
    assert sum(phases.shares().values()) == pytest.approx(1)
    assert phases.backward == pytest.approx(1 - phases.shares()["forward"])


def test_phases_leave_flags_and_batch():
    bench = Bench(ZOO["frozen_stem"].model(), ZOO["frozen_stem"].input())
    flags = [p.requires_grad for p in bench.model.parameters()]
    batch = bench.batch
    time_phases(bench, steps=3)
    assert [p.requires_grad for p in bench.model.parameters()] == flags
    assert bench.batch is batch
    assert batch.grad is None


@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1)])
def test_one_batch_over_and_over_is_not_learnt(rate):
    """Its gradients would fade until they are too small for the processor's fast path."""
    model = ZOO["mlp"].model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=0.1)
    bench = Bench(model, torch.ones(3, 8), optimizer=optimizer)
    for _ in range(3):
        bench.step()
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_what_dropping_spares_is_predicted_and_measured(clock):
    bench = sleepers(8)
    phases = time_phases(bench, steps=5)
    found = saving_of(Uniform(0.5), bench, phases, pairs=15)
    step = 8 * (FORWARD + WEIGHTS) + 7 * ACTIVATIONS
    for mask in found.masks:
        # Where the first layers are all dropped, the gradients below are spared, too.
        below = (mask.measured * step - mask.dropped * WEIGHTS) / ACTIVATIONS
        assert below == pytest.approx(round(below), abs=1e-6)
        assert 0 <= round(below) <= mask.dropped
    assert found.measured == pytest.approx(fmean(mask.measured for mask in found.masks))
    assert found.low < found.measured < found.high
    assert abs(found.error) < 0.03
    assert 0.1 < found.ideal < 0.3  # a product, each of the three, where the time is 4, 8 and 12
    assert found.n == 15


def test_no_step_is_timed_that_layerdropback_looks_at():
    assert UNTIMED_PAIRS >= steps._LOOK_STEPS  # drop steps
    assert 2 * UNTIMED_PAIRS >= watch.STEPS


def test_what_a_cut_spares_is_predicted_and_measured(clock):
    bench = sleepers(8)
    phases = time_phases(bench, steps=5)
    found = saving_of(Truncate(0.5, depth="uniform"), bench, phases, pairs=24)
    backward = 8 * WEIGHTS + 7 * ACTIVATIONS
    step = 8 * FORWARD + backward
    for mask in found.masks:
        assert mask.measured == pytest.approx(mask.dropped * (WEIGHTS + ACTIVATIONS) / step)
    assert found.measured == pytest.approx(backward / 2 / step, abs=0.05)
    assert abs(found.error) < 0.03
    assert found.ideal == pytest.approx(0.5 * 15 / 23, abs=0.08)
    assert found.memory > 0.2
    # Deeper cuts drop more layers, take less time, and leave less to be kept.
    assert len(found.masks) >= 3
    for shallow, deep in itertools.pairwise(found.masks):
        assert shallow.dropped < deep.dropped < deep.layers == 8
        assert shallow.measured < deep.measured
        assert shallow.memory < deep.memory
    assert sum(mask.n for mask in found.masks) == found.n


def test_a_setting_that_cannot_be_is_left_out_and_told():
    model = torch.nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 64))
    strategies = [Uniform(0.5), Truncate(0.75)]
    found = profile(model, torch.ones(3, 8), strategies=strategies, pairs=3)
    assert len(found.savings) == 1
    text = as_text(found)
    assert "truncate 0.75 is left out: share=0.75 cannot be reached" in text


def test_nothing_to_spare_is_told_so(clock):
    """The whole cost is in the forward pass."""

    class Slow(nn.Sequential):
        def forward(self, inputs):
            if inputs.device.type == "cpu":
                time.sleep(0.03)
            return super().forward(inputs)

    bench = Bench(Slow(*(nn.Linear(4, 4) for _ in range(3))), torch.ones(2, 4))
    found = Profile("Slow", 60, phases=time_phases(bench, steps=3))
    found.savings = [saving_of(Uniform(), bench, found.phases, pairs=9)]
    assert found.savings[0].measured == pytest.approx(0)
    found.savings[0] = Saving(Uniform(), 0.2, 0.01, 0.0, -0.02, 0.02, 0.0, 9)
    assert found.best() is None
    assert sentence(found).startswith("No gain to be expected: none of the settings tried")


def test_blocks_share_time_flops_and_memory_among_them(clock):
    bench = sleepers(3)
    blocks = block_costs(bench, steps=5, warmup=1)
    assert [block.name for block in blocks[:3]] == ["0", "1", "2"]
    for number, block in enumerate(blocks[:3]):
        assert block.forward == pytest.approx(FORWARD)
        backward = WEIGHTS + (ACTIVATIONS if number else 0)
        assert block.backward == pytest.approx(backward)
        assert block.parameters == 16


@pytest.mark.parametrize("name", ["resnet", "densenet", "vit", "tied_gpt", "auxiliary"])
def test_the_blocks_of_a_model_add_up_to_it(name):
    entry = ZOO[name]
    model, (batch,) = entry.model(), entry.batches(1)

    def loss(outputs):
        targets = torch.zeros_like(batch[1], device=outputs_device(outputs))
        return entry.loss(entry.select(outputs), targets)

    bench = Bench(model, batch[0], loss)
    blocks = block_costs(bench, steps=1, warmup=0)
    names = [block.name for block in blocks]
    assert len(set(names)) == len(names)
    assert sum(block.parameters for block in blocks) == sum(p.numel() for p in model.parameters())
    full, _ = step_costs(model, batch[0], loss, draws=1)
    assert sum(block.flops for block in blocks) == full.total
    with SavedBytes(model) as saved:
        bench.step()
    assert sum(block.saved for block in blocks) == saved.total
    assert all(block.forward >= 0 and block.backward >= 0 for block in blocks)
    assert not model._forward_hooks
    assert not any(module._forward_pre_hooks for module in model.modules())


def outputs_device(outputs):
    return next(iter(outputs.values())).device if isinstance(outputs, dict) else outputs.device


def test_what_lies_in_no_block_is_told():
    blocks = block_costs(Bench(ZOO["vit"].model(), ZOO["vit"].input()), steps=1)
    assert blocks[-1].name == REST
    assert blocks[-1].parameters > 0  # the position embedding is the root's


def test_what_comes_after_the_last_block_is_counted():
    class Tail(nn.Sequential):
        def forward(self, inputs):
            outputs = super().forward(inputs)
            return outputs @ outputs.T

    blocks = block_costs(Bench(Tail(nn.Linear(4, 4), nn.Linear(4, 4)), torch.ones(3, 4)), steps=1)
    assert blocks[-1].name == REST
    assert blocks[-1].flops == 3 * (2 * 3 * 4 * 3)  # the product, and two for its gradients
    assert [block.flops for block in blocks[:2]] == [2 * 2 * 3 * 4 * 4, 3 * 2 * 3 * 4 * 4]


def test_a_profile_of_ones_own_model_leaves_it_alone():
    model = ZOO["mlp"].model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    made = []

    def optimizer(copy):
        made.append(copy)
        return torch.optim.AdamW(copy.parameters())

    found = profile(model, torch.ones(3, 8), optimizer=optimizer, pairs=3)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    assert made[0] is not model
    assert [saving.label for saving in found.savings] == [
        "uniform 0.25",
        "uniform 0.5",
        "uniform 0.75",
        "truncate 0.25",
        "truncate 0.5",
        "truncate 0.75",
    ]
    for ideal in ([s.ideal for s in found.savings[:3]], [s.ideal for s in found.savings[3:]]):
        assert ideal == sorted(ideal)
    assert "GFLOPs" in as_text(found)
    json.dumps(found.as_dict())


def test_what_was_printed_stays_as_more_comes_to_be_known():
    block = BlockCost("b", 1e-3, 1e-3, flops=2 * 10**12, saved=2**31, parameters=1, n=5)
    found = Profile("net", 1, blocks=[block])
    stages = [parts(found)]
    found.phases = Phases(forward=0.25, activations=0.25, weights=0.5, optimizer=0.0, n=3)
    stages.append(parts(found))
    found.savings.append(Saving(Uniform(0.5), 0.3, 0.2, 0.1, 0.05, 0.4, 0.05, 9))
    stages.append(parts(found))
    for before, after in itertools.pairwise(stages):
        assert after[: len(before)] == before
        assert len(after) > len(before)
    assert stages[2][-1] == sentence(found)
    assert "| 2,000  | 2,048 " in stages[0][0], "no size has an exponent"
    assert "| backward, weights     | 500.00 | 50.0 %      |" in stages[1][-2]
    assert stages[1][-1].startswith("A full step takes 1000.0 ms, of which the backward pass is 75")


def test_the_best_setting_is_the_one_that_spares_the_most_for_sure():
    spared = [(0.10, 0.05), (0.30, -0.01), (0.20, 0.15)]
    found = Profile("net", 1, phases=Phases(1.0, 1.0, 1.0, 0.0, 3))
    for number, (measured, low) in enumerate(spared):
        strategy = Uniform(0.1 * (number + 1))
        found.savings.append(Saving(strategy, 0.3, 0.2, measured, low, 0.4, 0.05, 9))
    assert found.best() is found.savings[2]
    text = sentence(found)
    assert text.startswith("net would gain most from uniform 0.3: a drop step saves")
    assert "saves 20 % of a full step's time" in text
    assert "about 10 % less" in text
