"""FLOPs of recurrent layers, held against the same network with its time steps written out."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils._python_dispatch import TorchDispatchMode

from foretelling import backward, count, foretell, leaf, spent
from layerdropback.model import flops

TIME, BATCH, FEATURES, SIZE = 4, 3, 5, 4
LENGTHS = (4, 3, 1)


def cell(kind, gates_x, gates_h, state):
    """One time step's elementwise part: the new output, and the new cell."""
    if kind == "RNN":
        return torch.tanh(gates_x + gates_h), None
    if kind == "GRU":
        (r, z, n), (s, y, m) = gates_x.chunk(3, -1), gates_h.chunk(3, -1)
        z = torch.sigmoid(z + y)
        return (1 - z) * torch.tanh(n + torch.sigmoid(r + s) * m) + z * state[0], None
    i, f, g, o = (gates_x + gates_h).chunk(4, -1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def written_out(net, x, states=None):
    """What a recurrent network computes of ``(time, batch, features)``, product by product."""
    directions = 2 if net.bidirectional else 1
    kind = net.mode.partition("_")[0]
    for layer in range(net.num_layers):
        sides = []
        for direction in range(directions):
            place = layer * directions + direction
            name = f"l{layer}" + "_reverse" * direction
            weights = [getattr(net, f"weight_{part}_{name}") for part in ("ih", "hh")]
            biases = [getattr(net, f"bias_{p}_{name}") if net.bias else None for p in ("ih", "hh")]
            if states is None:
                zeros = x.new_zeros(x.shape[1], net.proj_size or net.hidden_size)
                state = (zeros, x.new_zeros(x.shape[1], net.hidden_size))
            else:
                state = tuple(part[place] for part in states)
            found = []
            for step in x.flip(0) if direction else x:
                gates = functional.linear(step, weights[0], biases[0])
                again = functional.linear(state[0], weights[1], biases[1])
                out, inner = cell(kind, gates, again, state)
                if net.proj_size:
                    out = functional.linear(out, getattr(net, f"weight_hr_{name}"))
                state = (out, inner)
                found.append(out)
            sides.append(torch.stack(found[::-1] if direction else found))
        x = torch.cat(sides, -1)
    return x


KINDS = {
    "LSTM": ("LSTM", {}),
    "GRU": ("GRU", {}),
    "RNN": ("RNN", {}),
    "deep": ("LSTM", {"num_layers": 3}),
    "both ways": ("LSTM", {"num_layers": 2, "bidirectional": True}),
    "GRU, both ways": ("GRU", {"num_layers": 2, "bidirectional": True}),
    "projected": ("LSTM", {"num_layers": 2, "proj_size": 2}),
    "projected, both ways": ("LSTM", {"num_layers": 2, "proj_size": 2, "bidirectional": True}),
    "no bias": ("LSTM", {"bias": False}),
    "batch first": ("LSTM", {"batch_first": True}),
    "float64": ("LSTM", {"dtype": torch.float64}),
    "bfloat16": ("LSTM", {"dtype": torch.bfloat16}),
}
FREEZING = {
    "nothing": lambda name: False,
    "everything": lambda name: True,
    "inputs' weights": lambda name: "_ih_" in name,
    "states' weights": lambda name: "_hh_" in name,
    "the first layer": lambda name: "_l0" in name,
    "all but the first layer": lambda name: "_l0" not in name,
}


def network(name):
    torch.manual_seed(0)
    kind, settings = KINDS[name]
    return getattr(nn, kind)(FEATURES, SIZE, **settings)


def in_one(net, x):
    return net(x.transpose(0, 1))[0].transpose(0, 1) if net.batch_first else net(x)[0]


@pytest.mark.in_turn("of_inputs")
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("frozen", FREEZING)
@pytest.mark.parametrize("of_inputs", [True, False], ids=["gradient of inputs", "weights' alone"])
def test_recurrent_layers_cost_what_they_cost_written_out(name, frozen, of_inputs):
    net = network(name)
    parameters = dict(net.named_parameters())
    x = torch.randn(TIME, BATCH, FEATURES, dtype=net.weight_ih_l0.dtype)
    x.requires_grad_(of_inputs)
    total, costs = foretell(lambda: [in_one(net, x)], parameters)
    wanted = {key for key in parameters if not FREEZING[frozen](key)}
    for key, parameter in parameters.items():
        parameter.requires_grad_(key in wanted)
    expected, out = count(lambda: written_out(net, x))
    close = {"rtol": 0.1, "atol": 0.01} if name == "bfloat16" else {}
    torch.testing.assert_close(in_one(net, x), out, **close)
    assert total == expected > 0
    if not out.requires_grad:
        assert spent(costs, wanted) == 0
        return
    expected, _ = count(lambda: backward([out]))
    assert spent(costs, wanted) == expected > 0


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN", "deep", "projected"])
def test_packed_sequences_cost_what_each_costs_by_itself(name):
    net, x = network(name), torch.randn(TIME, BATCH, FEATURES)
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS))
    total, costs = foretell(lambda: [net(packed)[0].data], dict(net.named_parameters()))

    def alone():
        return [written_out(net, x[:n, i : i + 1]) for i, n in enumerate(LENGTHS)]

    expected, outs = count(alone)
    padded, _ = pad_packed_sequence(net(packed)[0])
    for i, (n, out) in enumerate(zip(LENGTHS, outs, strict=True)):
        torch.testing.assert_close(padded[:n, i], out[:, 0])
    assert total == expected
    expected, _ = count(lambda: backward(outs))
    assert spent(costs, dict(net.named_parameters()).keys()) == expected


def states_of(net):
    places = net.num_layers * (2 if net.bidirectional else 1)
    hidden = leaf(places, BATCH, net.proj_size or net.hidden_size, device=net.weight_ih_l0.device)
    return hidden, leaf(places, BATCH, net.hidden_size, device=net.weight_ih_l0.device)


@pytest.mark.parametrize("name", ["LSTM", "deep", "both ways"])
def test_counters_see_what_onednn_computes(name):
    """With the gradients of first states and inputs, all that it computes is wanted."""
    net, states = network(name), states_of(network(name))
    x = leaf(TIME, BATCH, FEATURES)
    parameters = dict(net.named_parameters())
    _, costs = foretell(lambda: [net(x, states)[0]], parameters)
    forward, out = count(lambda: net(x, states)[0])
    wanted, _ = count(lambda: backward([out]))
    expected, out = count(lambda: written_out(net, x, states))
    assert forward == expected
    assert (wanted, spent(costs, parameters.keys())) == (2 * forward, 2 * forward)
    expected, _ = count(lambda: backward([out]))
    assert wanted == expected


def test_onednn_computes_every_gradient_wanted_or_not():
    """So a counter of real passes cannot see what freezing would spare."""
    net = network("LSTM")
    net.requires_grad_(False)
    out = net(leaf(TIME, BATCH, FEATURES))[0]
    found = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if func is torch.ops.aten.mkldnn_rnn_layer_backward.default:
                found.extend(result)
            return result

    with Watch():
        backward([out])
    assert [tuple(gradient.shape) for gradient in found[1:3]] == [(16, FEATURES), (16, SIZE)]
    assert all(gradient.abs().sum() > 0 for gradient in found[1:3])


def fused_stack(net, x, states, packed=()):
    """The operation that a GPU runs, for shapes alone."""
    hidden, cell_state = states
    if not isinstance(net, nn.LSTM):
        cell_state = None
    stride = 2 * (1 + net.bias) + bool(net.proj_size)
    mode = {"RNN_TANH": 1, "LSTM": 2, "GRU": 3}[net.mode]
    last = (net.num_layers, net.batch_first, 0.0, True, net.bidirectional, list(packed), None)
    sizes = (net.hidden_size, net.proj_size)
    return torch.ops.aten._cudnn_rnn(
        x, net._flat_weights, stride, None, hidden, cell_state, mode, *sizes, *last
    )[0]


@pytest.mark.in_turn("of_inputs")
@pytest.mark.parametrize("name", sorted(set(KINDS) - {"float64", "bfloat16"}))
@pytest.mark.parametrize("of_inputs", [True, False], ids=["gradient of inputs", "weights' alone"])
@pytest.mark.parametrize(
    "of_states",
    [
        pytest.param(True, id="of states"),
        pytest.param(False, id="of no states", marks=pytest.mark.slow),
    ],
)
def test_cudnns_layers_cost_what_they_cost_written_out(name, of_inputs, of_states):
    net = network(name).to("meta")
    parameters = dict(net.named_parameters())
    x = torch.empty(TIME, BATCH, FEATURES, device="meta").requires_grad_(of_inputs)
    states = states_of(net)
    for state in states:
        state.requires_grad_(of_states)
    given = x.transpose(0, 1) if net.batch_first else x
    total, costs = foretell(lambda: [fused_stack(net, given, states)], parameters)
    for wanted in (set(parameters), {key for key in parameters if "_ih_" in key}, set()):
        for key, parameter in parameters.items():
            parameter.requires_grad_(key in wanted)
        expected, out = count(lambda: written_out(net, x, states))
        assert total == expected > 0
        if out.requires_grad:
            expected, _ = count(partial(backward, [out]))
            assert spent(costs, wanted) == expected > 0


def test_cudnn_counts_packed_sequences_by_their_steps():
    net = network("deep").to("meta")
    x = torch.empty(sum(LENGTHS), FEATURES, device="meta")
    sizes = [sum(length > step for length in LENGTHS) for step in range(max(LENGTHS))]
    parameters = dict(net.named_parameters())
    states = [state.detach() for state in states_of(net)]
    total, costs = foretell(lambda: [fused_stack(net, x, states, sizes)], parameters)

    def alone():
        return [written_out(net, x.new_empty(length, 1, FEATURES)) for length in LENGTHS]

    expected, outs = count(alone)
    assert total == expected
    expected, _ = count(lambda: backward(outs))
    assert spent(costs, parameters.keys()) == expected


def test_a_stack_costs_what_it_costs_written_out():
    net = network("both ways")
    shapes = [tuple(weight.shape) for weight in net._flat_weights]
    forward = flops.recurrent_stack((TIME, BATCH, FEATURES), shapes)
    expected, _ = count(lambda: written_out(net, torch.randn(TIME, BATCH, FEATURES)))
    assert forward == expected
