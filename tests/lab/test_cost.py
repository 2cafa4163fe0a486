"""FLOPs of real steps, and of the copies that they are counted on."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from layerdropback import LayerDropBack, Uniform
from layerdropback.lab.calling import summed
from layerdropback.lab.profiling.corrections import corrections
from layerdropback.lab.profiling.cost import StepCost, activations_only, step_costs
from layerdropback.model.flops import ForwardFlops
from zoo import ZOO

BATCH, WIDTH = 3, 8
NEARLY = 1 - 1e-12  # always dropped
PRODUCT = 2 * BATCH * WIDTH * WIDTH  # one layer's forward, its weights' gradient, or its inputs'


def chain(depth=4):
    return nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(depth)))


def test_a_chains_flops_are_the_textbooks():
    full, drop = step_costs(chain(), torch.ones(BATCH, WIDTH), strategy="control")
    parameters = 4 * (WIDTH * WIDTH + WIDTH)
    assert full == StepCost(4 * PRODUCT, 7 * PRODUCT, 4 * PRODUCT, parameters)
    assert full.total == 11 * PRODUCT
    assert drop == full


def test_when_only_the_head_is_kept_backward_stops_there():
    _, drop = step_costs(chain(), torch.ones(BATCH, WIDTH), strategy=Uniform(NEARLY))
    assert drop == StepCost(4 * PRODUCT, PRODUCT, PRODUCT, WIDTH * WIDTH + WIDTH)


def test_what_is_kept_by_name_costs_what_it_costs():
    """The first of four layers is kept: the gradient flows through all that is above it."""
    inputs = torch.ones(BATCH, WIDTH)
    _, drop = step_costs(chain(), inputs, strategy=Uniform(NEARLY, keep=["0"]))
    assert (drop.weights, drop.activations) == (2 * PRODUCT, 3 * PRODUCT)


def flops_of_backward(model, batch, loss):
    value = loss(model(batch))
    with FlopCounterMode(display=False, custom_mapping=corrections()) as counter:
        value.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "name",
    [
        *("mlp", "resnet", "attention"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("densenet", "vit", "beit")),
    ],
)
def test_weights_part_is_what_a_real_backward_pass_is_without(name):
    """Both with the inputs' gradient, so that no other product comes or goes."""
    entry = ZOO[name]
    (batch,) = entry.batches(1)
    model = entry.model().train()

    def loss(outputs):
        return entry.select(outputs).sum()

    full, _ = step_costs(model, batch[0], loss, strategy="control")
    with sdpa_kernel(SDPBackend.MATH):
        both = flops_of_backward(model, batch[0].clone().requires_grad_(), loss)
        with activations_only(model, batch[0], loss) as inputs:
            activations = flops_of_backward(model, inputs, loss)
    assert full.weights == both - activations > 0


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n in ("densenet", "beit") else ()) for n in ZOO],
)
@pytest.mark.parametrize(
    "unit", ["layer", *(pytest.param(u, marks=pytest.mark.slow) for u in ("block", "tensor"))]
)
def test_counts_are_those_of_real_steps(name, unit):
    """The same masks on the real model, data, loss and optimizer."""
    entry = ZOO[name]
    model, (batch,) = entry.model(), entry.batches(1)

    def loss(outputs):
        outputs = entry.select(outputs)
        targets = torch.zeros_like(batch[1], device=outputs.device)
        return entry.loss(outputs, targets)

    strategy = Uniform(unit=unit)
    full, drop = step_costs(model, batch[0], loss, strategy=strategy, draws=3, seed=5)

    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0)
    ldb = LayerDropBack(model, optimizer, strategy, seed=5)
    found = []
    for epoch, steps in ((0, 1), (1, 3)):
        # Fused attention would compute some products twice.
        with ldb.epoch(None, epoch), sdpa_kernel(SDPBackend.MATH):
            for _ in range(steps):
                with ForwardFlops() as forward:  # hangs no hooks on activations
                    value = loss(model(batch[0]))
                with FlopCounterMode(display=False, custom_mapping=corrections()) as backward:
                    value.backward()
                moved = sum(p.numel() for p in model.parameters() if p.grad is not None)
                counts = (forward.total, backward.get_total_flops(), moved)
                found.append(counts)
                optimizer.step()
                optimizer.zero_grad()
    assert (full.forward, full.backward, full.updated) == found[0]
    assert drop.backward == pytest.approx(sum(backward for _, backward, _ in found[1:]) / 3)
    assert drop.updated == pytest.approx(sum(updated for _, _, updated in found[1:]) / 3)
    assert drop.forward == full.forward


def test_counting_leaves_no_trace():
    model = ZOO["frozen_stem"].model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [p.requires_grad for p in model.parameters()]
    state = torch.get_rng_state()
    step_costs(model, torch.ones(2, 8))
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    assert [p.requires_grad for p in model.parameters()] == flags
    assert all(p.grad is None for p in model.parameters())
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
    torch.testing.assert_close(torch.get_rng_state(), state, rtol=0, atol=0)


def test_a_loss_with_labels_of_its_own_is_counted_on_a_real_copy():
    """The labels have data, the copy of the model has none: so it gets some."""
    model, inputs, labels = chain(), torch.randn(BATCH, WIDTH), torch.tensor([0, 1, 2])
    before = model[0].weight.clone()
    state = torch.get_rng_state()
    found = step_costs(model, inputs, lambda outputs: functional.cross_entropy(outputs, labels))
    assert found == step_costs(model, inputs)
    torch.testing.assert_close(model[0].weight, before, rtol=0, atol=0)
    torch.testing.assert_close(torch.get_rng_state(), state, rtol=0, atol=0)


def test_tokens_have_no_gradient_so_the_first_layer_keeps_its_own():
    entry = ZOO["tied_gpt"]
    model, (batch,) = entry.model(), entry.batches(1)
    full, _ = step_costs(model, batch[0])
    assert 0 < full.weights < full.backward
    with activations_only(model, batch[0]):
        assert [name for name, p in model.named_parameters() if p.requires_grad] == ["head.weight"]


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.words = nn.Embedding(11, WIDTH)
        self.layer = getattr(nn, kind)(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens):
        return self.head(self.layer(self.words(tokens))[0])


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_layers_are_counted(kind, gates):
    """Fused or not: for words and for states, each time step is a product with all gates."""
    model, time = Recurrent(kind), 6
    tokens = torch.zeros(time, BATCH, dtype=torch.long)
    full, drop = step_costs(model, tokens, strategy=Uniform(NEARLY))
    gated, through_time = time * gates * PRODUCT, (time - 1) * gates * PRODUCT
    assert full.forward == drop.forward == 2 * gated + time * PRODUCT
    assert full.backward == 3 * gated + through_time + 2 * time * PRODUCT
    assert drop.backward == time * PRODUCT
    labels = torch.zeros(BATCH * time, dtype=torch.long)  # with data, so that a real copy counts
    real, _ = step_costs(
        model, tokens, lambda out: functional.cross_entropy(out.flatten(0, 1), labels)
    )
    assert real.forward == full.forward


def test_batches_of_many_shapes():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.linears = chain(2)

        def forward(self, left, right=None, name=""):
            return {"name": name, "outputs": [self.linears(left) * right]}

    ones = torch.ones(BATCH, WIDTH)
    costs = [
        step_costs(Pair(), batch)[0].total
        for batch in ((ones, ones), [ones, ones], {"left": ones, "right": ones, "name": "a"})
    ]
    assert costs == [5 * PRODUCT] * 3


def test_outputs_without_numbers_need_a_loss():
    with pytest.raises(TypeError, match="no floating-point tensor; give a loss"):
        summed([torch.ones(2, dtype=torch.long), "text"])
