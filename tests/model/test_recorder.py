"""The recorded order against what is known of each model."""

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from layerdropback import AttachError
from layerdropback.model.recorder import Recorder, Watched
from recorded import modules, ranked, recorded, recorded_entry
from zoo import ZOO, Attention, TiedGPT


def order_of(name):
    recorder, _ = recorded_entry(ZOO[name])
    return recorder.finish()


def order_after(model, work):
    return recorded(model, work).finish()


def test_a_chain_is_in_its_order():
    assert modules(order_of("mlp").first) == ["0", "2", "4"]


def test_attention_and_the_roots_own_position():
    assert modules(order_of("attention").first) == [
        "embed",
        "",  # the position is added to the embedding
        "attention",
        "attention.out_proj",
        "norm",
        "classifier",
    ]


def test_a_tied_head_is_first_and_last():
    order = order_of("tied_gpt")
    assert ranked(order.first)[0] == "head.weight"
    assert ranked(order.last)[-1] == "head.weight"


def test_an_auxiliary_head_is_in_the_middle():
    assert modules(order_of("auxiliary").last) == ["lower", "auxiliary", "upper", "classifier"]


def test_a_layer_that_is_used_twice_is_first_and_later():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.middle = nn.Linear(4, 4), nn.Linear(4, 4)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.shared(self.middle(self.shared(x))))

    order = order_after(Net(), lambda m: m(torch.randn(2, 4)).sum().backward())
    assert modules(order.first) == ["shared", "middle", "head"]
    assert modules(order.last) == ["middle", "shared", "head"]


def test_a_table_of_the_whole_model_is_used_before_the_blocks():
    first = ranked(order_of("beit").first)
    table = first.index("rel_pos_bias.relative_position_bias_table")
    assert table < first.index("blocks.0.mlp.fc1.weight")
    assert first.index("patch_embed.proj.weight") < first.index("blocks.0.attn.qkv.weight")
    assert first.index("blocks.0.attn.qkv.weight") < first.index("blocks.0.attn.proj.weight")


def test_what_the_loss_never_reaches_is_reported_and_what_is_frozen_is_not():
    order = order_of("unreached")
    assert order.unreached == {"unused.weight", "unused.bias"}
    assert not any(name.startswith("unused") for name in order.first)
    frozen = order_of("frozen_stem")
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
    order = order_after(Checkpointed(False), lambda m: m(torch.randn(2, 4)).sum().backward())
    assert modules(order.first) == modules(order.last) == ["net.0", "net.1", "net.2"]


def test_reentrant_checkpointing_is_refused():
    with pytest.raises(AttachError, match=r"reentrant checkpointing.*use_reentrant=False"):
        recorded(Checkpointed(True), lambda m: m(torch.randn(2, 4)).sum().backward())


def test_a_head_outside_the_models_forward_is_last():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Parameter(torch.randn(3, 4))
            self.lower, self.upper = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.upper(self.lower(x))

    order = order_after(Net(), lambda m: (m(torch.randn(2, 4)) @ m.head.T).sum().backward())
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

    order = order_after(Net(), twice)
    assert modules(order.first) == modules(order.last) == ["encoder", "head"]


def test_recording_leaves_no_hook():
    model = Attention()
    recorded(model, lambda m: m(torch.randn(2, 6, 8)).sum().backward()).finish()
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_gradients_that_were_set_by_hand_count_as_reached():
    """FSDP2 does so; the last registered parameter is then taken to be the last used."""
    model = TiedGPT()
    recorder = Recorder(Watched(dict(model.named_parameters())))
    assert not recorder.saw_backward
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    recorder.saw_gradients()
    assert recorder.by_hand
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

    order = order_after(Net(), both)
    assert {name.rpartition(".")[0] for name in order.ends} == {"heads.a", "heads.b"}
    assert ranked(order.last)[-1] == "temperature"


def test_each_output_that_the_loss_reaches_has_its_end():
    entry = ZOO["auxiliary"]
    ends = {name.rpartition(".")[0] for name in order_of("auxiliary").ends}
    assert ends == {"classifier", "auxiliary"}
    alone = order_after(
        entry.model(), lambda m: m(torch.randn(2, 8))["logits"].square().sum().backward()
    )
    assert {name.rpartition(".")[0] for name in alone.ends} == {"classifier"}


def test_an_activation_whose_gradient_is_asked_for_has_its_end():
    model = ZOO["mlp"].model()
    model[0].register_forward_hook(lambda m, args, out: out.retain_grad())
    order = order_after(model, lambda m: m(torch.randn(2, 8)).sum().backward())
    assert {name.rpartition(".")[0] for name in order.ends} == {"0", "4"}


def test_a_pass_is_not_kept_alive_by_its_recording():
    model, outputs = ZOO["mlp"].model(), []

    def work(net):
        for _ in range(3):
            out = net(torch.randn(2, 8))
            outputs.append(weakref.ref(out))
            out.sum().backward()

    recorder = recorded(model, work)
    gc.collect()
    assert [ref() for ref in outputs] == [None] * 3
    assert recorder.traces[0] is not None


def test_a_pass_that_the_loss_does_not_reach_is_no_trace():
    def work(model):
        model(torch.randn(2, 8))
        model(torch.randn(2, 8)).sum().backward()

    recorder = recorded(ZOO["mlp"].model(), work)
    assert recorder.traces[0].reached == set(recorder.traces[0].roots)
    assert recorded(ZOO["mlp"].model(), lambda m: m(torch.randn(2, 8))).traces == []


def test_it_is_current_while_the_same_parameters_train():
    model = ZOO["frozen_stem"].model()
    recorder = Recorder(Watched(dict(model.named_parameters())))
    assert recorder.is_current
    model[0].requires_grad_(True)
    assert not recorder.is_current
    recorder.stop()


class Sometimes(nn.Module):
    """Calls one of its two layers, or both."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x, *names):
        for name in names:
            x = getattr(self, name)(x)
        return x


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    ("passes", "kept"),
    [
        (["a", "a"], ["a"]),
        (["a", "ab"], ["a", "ab"]),
        (["ab", "a"], ["ab"]),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_passes_that_use_other_parameters_are_all_kept(passes, kept, together):
    """What is told of the whole step is told of each form that the model took in it."""

    def work(model):
        outputs = []
        for names in passes:
            outputs.append(model(torch.randn(2, 8), *names).sum())
            if not together:
                outputs.pop().backward()
        if together:
            sum(outputs).backward()

    found = [sorted({name[0] for name in t.used}) for t in recorded(Sometimes(), work).traces]
    if together and passes == ["a", "ab"]:
        kept = ["ab"]  # nothing had been reached when the second one came
    assert found == [list(names) for names in kept]
