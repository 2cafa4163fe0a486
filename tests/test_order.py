"""The recorded order against what is known of each model."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from layerdropback import AttachError
from layerdropback.model.graph import graph_roots
from layerdropback.model.order import Order, Recorder
from zoo import ZOO, Attention, TiedGPT


def record(model, forward, keep=True):
    recorder = Recorder(dict(model.named_parameters()))
    handle = model.register_forward_hook(lambda *call: recorder.saw_forward(call[2]))
    forward(model)
    recorder.saw_gradients()
    handle.remove()
    return recorder.finish()


def record_entry(name):
    entry = ZOO[name]
    model = entry.model()
    (batch,) = entry.batches(1)
    return record(model, lambda m: entry.backward(m, batch))


def ranked(ranks):
    return sorted(ranks, key=ranks.__getitem__)


def modules(ranks):
    return list(dict.fromkeys(name.rpartition(".")[0] for name in ranked(ranks)))


def test_a_chain_is_in_its_order():
    assert modules(record_entry("mlp").first) == ["0", "2", "4"]


def test_attention_and_the_roots_own_position():
    order = record_entry("attention")
    assert modules(order.first) == [
        "embed",
        "",  # the position is added to the embedding
        "attention",
        "attention.out_proj",
        "norm",
        "classifier",
    ]


def test_a_tied_head_is_first_and_last():
    order = record_entry("tied_gpt")
    assert ranked(order.first)[0] == "head.weight"
    assert ranked(order.last)[-1] == "head.weight"


def test_an_auxiliary_head_is_in_the_middle():
    order = record_entry("auxiliary")
    assert modules(order.last) == ["lower", "auxiliary", "upper", "classifier"]


def test_a_layer_that_is_used_twice_is_first_and_later():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.middle = nn.Linear(4, 4), nn.Linear(4, 4)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.shared(self.middle(self.shared(x))))

    order = record(Net(), lambda m: m(torch.randn(2, 4)).sum().backward())
    assert modules(order.first) == ["shared", "middle", "head"]
    assert modules(order.last) == ["middle", "shared", "head"]


def test_a_table_of_the_whole_model_is_used_before_the_blocks():
    first = ranked(record_entry("beit").first)
    table = first.index("rel_pos_bias.relative_position_bias_table")
    assert table < first.index("blocks.0.mlp.fc1.weight")
    assert first.index("patch_embed.proj.weight") < first.index("blocks.0.attn.qkv.weight")
    assert first.index("blocks.0.attn.qkv.weight") < first.index("blocks.0.attn.proj.weight")


def test_what_the_loss_never_reaches_is_reported_and_what_is_frozen_is_not():
    order = record_entry("unreached")
    assert order.unreached == {"unused.weight", "unused.bias"}
    assert not any(name.startswith("unused") for name in order.first)
    frozen = record_entry("frozen_stem")
    assert not frozen.knows("0.weight")
    assert frozen.knows("2.weight")


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
        self.reentrant = reentrant

    def forward(self, x):
        return self.net[2](checkpoint(self.net[1], self.net[0](x), use_reentrant=self.reentrant))


def test_checkpointed_segments_keep_their_place():
    order = record(Checkpointed(False), lambda m: m(torch.randn(2, 4)).sum().backward())
    assert modules(order.first) == modules(order.last) == ["net.0", "net.1", "net.2"]


def test_reentrant_checkpointing_is_refused():
    with pytest.raises(AttachError, match=r"reentrant checkpointing.*use_reentrant=False"):
        record(Checkpointed(True), lambda m: m(torch.randn(2, 4)).sum().backward())


def test_a_head_outside_the_models_forward_is_last():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Parameter(torch.randn(3, 4))
            self.lower, self.upper = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.upper(self.lower(x))

    order = record(Net(), lambda m: (m(torch.randn(2, 4)) @ m.head.T).sum().backward())
    assert ranked(order.last)[-1] == "head"


def test_several_forwards_and_nested_outputs():
    class Output:
        def __init__(self, value):
            self.parts = [{"value": value}]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return Output(self.head(self.encoder(x)))

    def twice(model):
        first, second = model(torch.randn(2, 4)), model(torch.randn(2, 4))
        (first.parts[0]["value"] + second.parts[0]["value"]).sum().backward()

    order = record(Net(), twice)
    assert modules(order.first) == modules(order.last) == ["encoder", "head"]


def test_the_order_survives_a_checkpoint():
    order = record_entry("beit")
    assert Order.from_state(order.to_state()) == order


def test_a_newer_recording_keeps_what_only_the_older_knows():
    older = Order({"a": 0, "b": 1}, {"a": 0, "b": 1}, frozenset({"u"}))
    newer = Order({"b": 0, "c": 1}, {"c": 0, "b": 1}, frozenset())
    both = older.updated(newer)
    assert ranked(both.first) == ["a", "b", "c"]
    assert ranked(both.last) == ["a", "c", "b"]
    assert both.unreached == {"u"}
    assert older.updated(Order({"u": 0}, {"u": 0}, frozenset())).unreached == frozenset()


def test_recording_leaves_no_hook():
    model = Attention()
    record(model, lambda m: m(torch.randn(2, 6, 8)).sum().backward())
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())
    assert isinstance(model, Attention)


def test_gradients_that_were_set_by_hand_count_as_reached():
    """FSDP2 does so; the last registered parameter is then taken to be the last used."""
    model = TiedGPT()
    recorder = Recorder(dict(model.named_parameters()))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    recorder.saw_gradients()
    assert ranked(recorder.finish().first) == [name for name, _ in model.named_parameters()]


def test_each_forward_call_has_its_end_and_a_temperature_is_none():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 4)
            self.heads = nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Linear(4, 2)})
            self.temperature = nn.Parameter(torch.ones(()))

        def forward(self, x, task):
            return self.heads[task](self.body(x)) * self.temperature

    def both(model):
        for task in "ab":
            model(torch.randn(2, 4), task).sum().backward()

    order = record(Net(), both)
    assert {name.rpartition(".")[0] for name in order.ends} == {"heads.a", "heads.b"}
    assert ranked(order.last)[-1] == "temperature"


def test_outputs_with_cycles_and_slots():
    class Slots:
        __slots__ = ("logits", "me")

        def __init__(self, logits):
            self.logits, self.me = logits, self

    assert len(graph_roots(Slots(torch.ones(1, requires_grad=True).exp()))) == 1
    assert graph_roots(torch.ones(1)) == graph_roots("text") == graph_roots(nn.Linear(2, 2)) == []
