"""Residual branches: found, cut off without a trace in the forward pass, and dropped whole."""

import copy
import pickle
import time

import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from layerdropback import AttachError, LayerDropBack, StateError, find_branches
from layerdropback.engine.switches import ATTRIBUTE, install, turn
from layerdropback.interop.wrappers import named_module
from zoo import CLASSES, ZOO

SKIPPING = ("resnet", "densenet", "vit", "beit", "attention", "tied_gpt")


def sgd(model, lr=0.1):
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr, momentum=0.9)


def attach(model, drop_rate=0.5, **settings):
    optimizer = sgd(model)
    settings = {"verify": True} | settings
    return LayerDropBack(model, optimizer, drop_rate, strategy="branch", **settings), optimizer


def learn(entry, model, optimizer, batch):
    entry.backward(model, batch)
    optimizer.step()
    optimizer.zero_grad()


def names_of(branches):
    return [branch.name for branch in branches]


class Residual(nn.Module):
    def __init__(self, *inner):
        super().__init__()
        self.inner = nn.Sequential(*inner)

    def forward(self, x):
        return x + self.inner(x)


# ---- finding -------------------------------------------------------------------------------------

# Family, model, image side, and how many branches by the architecture's own description.
FAMILIES = [
    ("ResNet", "resnet18", 64, 8),
    ("ResNet, bottlenecks", "resnet50", 64, 16),
    ("DenseNet", "densenet121", 64, 58),
    ("ViT", "vit_tiny_patch16_224", 224, 24),
    ("Swin", "swin_tiny_patch4_window7_224", 224, 24),
    ("BEiT", "beit_base_patch16_224", 224, 24),
    ("DeiT III", "deit3_small_patch16_224", 224, 24),
    ("ConvNeXt", "convnext_atto", 64, 12),
    ("RegNet", "regnetx_002", 64, 13),
    ("MLP-Mixer", "mixer_s32_224", 224, 16),
    ("ResMLP", "resmlp_12_224", 224, 24),
    ("PoolFormer", "poolformer_s12", 224, 24),
    ("SENet", "legacy_seresnet18", 64, 8),
    ("DLA", "dla34", 64, None),
    ("EfficientNet", "efficientnet_b0", 64, None),
    ("MobileNet", "mobilenetv3_small_050", 64, None),
    ("CoAtNet", "coatnet_nano_rw_224", 224, None),
]


@pytest.mark.parametrize(
    ("model", "size", "count"), [case[1:] for case in FAMILIES], ids=[case[0] for case in FAMILIES]
)
def test_families_have_their_branches_and_outputs_stay_bitwise_equal(model, size, count):
    net = timm.create_model(model, num_classes=3).train()
    images = torch.randn(2, 3, size, size)
    start = time.perf_counter()
    branches = find_branches(net, images)
    assert time.perf_counter() - start < 2
    assert len(branches) == count if count else len(branches) >= 9
    check_all_cut(net, images, branches)


def check_all_cut(net, batch, branches, loss=torch.sum):
    """With every branch drawn the outputs are the same, and just the branches have no gradient."""
    call = (lambda: net(**batch)[0]) if isinstance(batch, dict) else (lambda: net(batch))
    torch.manual_seed(0)
    plain = call()
    removers = [install(named_module(net, name)) for name in names_of(branches)]
    turn([named_module(net, name) for name in names_of(branches)], on=True)
    torch.manual_seed(0)
    cut = call()
    assert torch.equal(cut, plain)
    loss(cut).backward()
    inside = {name for branch in branches for name in branch.parameter_names}
    assert len(inside) == sum(len(branch.parameter_names) for branch in branches)
    for name, parameter in net.named_parameters():
        assert (parameter.grad is None) == (name in inside), name
    for remove in removers:
        remove()
    assert not any(ATTRIBUTE in vars(module) for module in net.modules())


def hugging_face():
    hf = pytest.importorskip("transformers")
    tokens = torch.randint(0, 100, (2, 16))
    return {
        "GPT-2": (hf.GPT2LMHeadModel, hf.GPT2Config(), {"input_ids": tokens, "labels": tokens}),
        "BERT": (
            hf.BertForSequenceClassification,
            hf.BertConfig(),
            {"input_ids": tokens, "labels": torch.tensor([0, 1])},
        ),
        "ViT": (
            hf.ViTForImageClassification,
            hf.ViTConfig(num_labels=3),
            {"pixel_values": torch.randn(2, 3, 224, 224), "labels": torch.tensor([0, 1])},
        ),
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["GPT-2", "BERT", "ViT"])
def test_hugging_face_models_from_config(name):
    make, config, batch = hugging_face()[name]
    net = make(config).train()
    start = time.perf_counter()
    branches = find_branches(net, batch)
    assert time.perf_counter() - start < 2
    assert len(branches) == 24  # of 12 layers
    check_all_cut(net, batch, branches)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_outputs_on_the_way_to_the_loss_are_no_ends_of_their_own():
    """GPT-2 gives its keys and values away, which gradients pass on their way to the loss."""
    make, config, batch = hugging_face()["GPT-2"]
    config.update({"n_layer": 3, "n_embd": 48, "n_head": 2, "vocab_size": 100})
    net = make(config)
    ldb, optimizer = attach(net)
    for epoch in range(2):
        for _ in ldb.epoch(range(3), epoch):
            net(**batch, use_cache=True).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    found = names_of(ldb._stepper.findings.branches)
    assert found == [f"transformer.h.{i}.{kind}" for i in range(3) for kind in ("attn", "mlp")]


def test_what_a_branch_holds():
    branches = find_branches(ZOO["vit"].model(), torch.randn(2, 3, 16, 16))
    assert names_of(branches) == ["blocks.0.attn", "blocks.0.mlp", "blocks.1.attn", "blocks.1.mlp"]
    assert set(branches[0].parameter_names) == {
        f"blocks.0.{name}.{kind}"
        for name in ("norm1", "attn.qkv", "attn.proj")
        for kind in ("weight", "bias")
    }
    assert all(0 < branch.share < 0.5 for branch in branches)
    assert sum(branch.share for branch in branches) < 1


def test_a_frozen_stem_and_low_rank_adapters_do_not_hide_branches():
    class Adapted(nn.Module):
        """A frozen layer with a low-rank one beside it."""

        def __init__(self):
            super().__init__()
            self.frozen = nn.Linear(8, 8).requires_grad_(False)
            self.down, self.up = nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)

        def forward(self, x):
            return self.frozen(x) + self.up(self.down(x))

    model = nn.Sequential(
        nn.Linear(8, 8), Residual(Adapted()), Residual(Adapted()), nn.Linear(8, 3)
    )
    model[0].requires_grad_(False)
    branches = find_branches(model, torch.randn(2, 8))
    assert names_of(branches) == ["1.inner", "2.inner"]
    ldb, optimizer = attach(model)
    dropped = set()
    for epoch in range(2):
        for _ in ldb.epoch(range(8), epoch):
            mask = ldb.mask
            dropped |= {ldb.layers[i].name for i in np.flatnonzero([] if mask is None else mask)}
            model(torch.randn(2, 8)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert {name for name in dropped if "frozen" not in name} == {
        f"{i}.inner.0.{kind}" for i in (1, 2) for kind in ("down", "up")
    }


def test_of_parallel_ways_the_cheapest_stays_open():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.main = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 8))
            self.shortcut = nn.Linear(8, 8)

        def forward(self, x):
            return self.main(x) + self.shortcut(x)

    model = nn.Sequential(nn.Linear(8, 8), Block(), nn.Linear(8, 3))
    assert names_of(find_branches(model, torch.randn(2, 8))) == ["1.main"]


def test_a_module_that_is_called_twice_ends_no_branch():
    shared = nn.Linear(8, 8)
    model = nn.Sequential(nn.Linear(8, 8), Residual(shared), Residual(shared), nn.Linear(8, 3))
    with pytest.raises(AttachError, match="no residual branch"):
        find_branches(model, torch.randn(2, 8))


def test_a_model_without_skip_connections_is_told():
    with pytest.raises(AttachError, match="Sequential has no residual branch.*use strategy='trunc"):
        find_branches(ZOO["mlp"].model(), torch.randn(2, 8))
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model)
    (batch,) = ldb.epoch(entry.batches(1), 0)
    with pytest.raises(AttachError, match="no residual branch"):
        learn(entry, model, optimizer, batch)


def test_finding_leaves_no_trace():
    model = ZOO["resnet"].model()
    before = copy.deepcopy(model.state_dict())
    state, flags = torch.get_rng_state(), [p.requires_grad for p in model.parameters()]
    find_branches(model, torch.randn(2, 3, 16, 16))
    assert not torch.equal(state, torch.get_rng_state())  # the line above drew the images
    torch.testing.assert_close(dict(model.state_dict()), dict(before), rtol=0, atol=0)
    assert [p.requires_grad for p in model.parameters()] == flags

    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_what_looks_at_numbers_is_found_on_a_real_copy():
    class Looks(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Residual(nn.Linear(8, 8))

        def forward(self, x):
            return self.inner(x) if float(x.sum()) > 0 else self.inner(x) * 2

    model = nn.Sequential(nn.Linear(8, 8), Looks(), nn.Linear(8, 2))
    assert names_of(find_branches(model, torch.ones(2, 8))) == ["1.inner.inner"]


# ---- dropping ------------------------------------------------------------------------------------


def hand_written_vit(model, images, cut):
    """timm's ViT in its own words, with the drawn branches' outputs detached."""
    x = model.patch_embed(images)
    x = torch.cat([model.cls_token.expand(len(x), -1, -1), x], dim=1) + model.pos_embed
    for i, block in enumerate(model.blocks):
        for kind, norm in (("attn", block.norm1), ("mlp", block.norm2)):
            branch = getattr(block, kind)(norm(x))
            x = x + (branch.detach() if f"blocks.{i}.{kind}" in cut else branch)
    return model.head(model.norm(x)[:, 0])


def hand_written_resnet(model, images, cut):
    x = model.maxpool(model.act1(model.bn1(model.conv1(images))))
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        for i, block in enumerate(getattr(model, stage)):
            branch = block.bn2(block.conv2(block.act1(block.bn1(block.conv1(x)))))
            shortcut = x if block.downsample is None else block.downsample(x)
            cut_here = f"{stage}.{i}.bn2" in cut
            x = torch.relu((branch.detach() if cut_here else branch) + shortcut)
    return model.fc(model.global_pool(x))


@pytest.mark.parametrize(
    ("name", "forward"), [("vit", hand_written_vit), ("resnet", hand_written_resnet)]
)
def test_weights_are_those_of_hand_edited_blocks(name, forward):
    entry = ZOO[name]
    model, twin = entry.model(), entry.model()
    ldb, optimizer = attach(model, every=1, lr_scale=1.0)
    twin_optimizer = sgd(twin)
    cuts = []
    for epoch in range(3):
        for images, targets in ldb.epoch(entry.batches(4), epoch):
            switched = ldb._stepper.window.switched
            cut = {key for key, module in model.named_modules() if module in set(switched)}
            cuts.append(cut)
            learn(entry, model, optimizer, (images, targets))
            functional.cross_entropy(forward(twin, images, cut), targets).backward()
            twin_optimizer.step()
            twin_optimizer.zero_grad()
            for (key, mine), theirs in zip(
                model.named_parameters(), twin.parameters(), strict=True
            ):
                torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6, msg=key)
    assert any(cuts)
    assert any(0 < len(cut) < 4 for cut in cuts)


@pytest.mark.parametrize("unit", ["layer", "tensor"])
@pytest.mark.parametrize("name", SKIPPING)
def test_branches_drop_whole_and_at_their_rate(name, unit):
    entry = ZOO[name]
    model = entry.model()
    ldb, optimizer = attach(model, 0.4, unit=unit, every=1)
    groups, counts, steps = None, None, 0
    for epoch in range(11):
        for batch in ldb.epoch(entry.batches(6), epoch):
            if ldb.mask is not None:
                plan = ldb._stepper.plan
                groups = [set(group.layers) for group in plan.groups]
                drawn = [group <= set(np.flatnonzero(ldb.mask)) for group in groups]
                whole = set().union(*(g for g, d in zip(groups, drawn, strict=True) if d))
                assert set(np.flatnonzero(ldb.mask)) == whole
                counts = np.array(drawn, int) + (0 if counts is None else counts)
                steps += 1
            learn(entry, model, optimizer, batch)
    assert steps == 60
    # Binomial(60, 0.4): between 8 and 40 but for one in a million.
    assert ((counts > 8) & (counts < 40)).all()


def deeper_vit():
    torch.manual_seed(1)
    return VisionTransformer(
        img_size=16, patch_size=8, embed_dim=16, depth=3, num_heads=2, num_classes=CLASSES
    )


def test_blocks_are_dropped_with_all_of_their_branches():
    """But for the last one, with which timm groups the norm that follows it."""
    entry = ZOO["vit"]
    model = deeper_vit()
    ldb, optimizer = attach(model, unit="block")
    for batch in ldb.epoch(entry.batches(1), 0):
        learn(entry, model, optimizer, batch)
    assert [group.modules for group in ldb._stepper.plan.groups] == [
        ("blocks.0.attn", "blocks.0.mlp"),
        ("blocks.1.attn", "blocks.1.mlp"),
    ]
    lines = ldb.summary()
    assert "branch at rate 0.5" in lines
    assert "in no branch" in lines


def test_a_unit_that_holds_more_than_branches_is_told():
    class Stage(nn.Module):
        def __init__(self):
            super().__init__()
            self.project, self.inner = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            x = self.project(x)
            return x + self.inner(x)

    model = nn.Sequential(nn.Linear(8, 8), nn.Sequential(Stage(), Stage()), nn.Linear(8, 3))
    ldb, optimizer = attach(model, unit="block")
    with ldb.epoch(None, 0):
        model(torch.randn(2, 8)).sum().backward()
        with pytest.raises(AttachError, match="no branch can be dropped.*unit='block'.*finer unit"):
            optimizer.step()


def test_a_branch_with_a_kept_layer_is_kept():
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model, 0.9, keep=["blocks.0.attn.proj"], every=1)
    for epoch in range(3):
        for batch in ldb.epoch(entry.batches(4), epoch):
            learn(entry, model, optimizer, batch)
    times = ldb.stats()["times_dropped"]
    assert times["blocks.0.norm1"] == times["blocks.0.attn.qkv"] == 0
    assert times["blocks.0.mlp.fc1"] > 0


def test_switches_are_open_whenever_user_code_runs():
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model, 0.9, every=1)

    def switches():
        return [vars(m)[ATTRIBUTE] for m in model.modules() if ATTRIBUTE in vars(m)]

    inside = []
    model.norm.register_forward_hook(lambda *_: inside.append(any(switches())))
    for epoch in range(2):
        for images, targets in ldb.epoch(entry.batches(4), epoch):
            assert not any(switches())
            loss = functional.cross_entropy(model(images), targets)
            assert not any(switches())
            loss.backward()
            assert not any(switches())
            optimizer.step()
            optimizer.zero_grad()
    assert len(switches()) == 4
    assert any(inside[4:])
    assert not any(inside[:4])


@pytest.mark.parametrize("way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("part", ["", "blocks.0", "blocks.0.attn"])
def test_copies_carry_no_switch(part, way):
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model, 0.9, every=1)
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(2), epoch):
            learn(entry, model, optimizer, batch)
    twin = way(model.get_submodule(part))
    for module in twin.modules():
        assert not module._forward_hooks
        assert not {ATTRIBUTE, "__deepcopy__", "__reduce_ex__"} & vars(module).keys()
    ldb.detach()
    for module in model.modules():
        assert not module._forward_hooks
        assert not {ATTRIBUTE, "__deepcopy__", "__reduce_ex__"} & vars(module).keys()


# ---- the state -----------------------------------------------------------------------------------


def masks(entry, ldb, model, optimizer, epochs):
    found = []
    for epoch in epochs:
        for batch in ldb.epoch(entry.batches(3), epoch):
            found.append(None if ldb.mask is None else ldb.mask.tolist())
            learn(entry, model, optimizer, batch)
    return found


def test_a_resumed_run_goes_on_bit_for_bit():
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model)
    masks(entry, ldb, model, optimizer, range(2))
    saved = copy.deepcopy((ldb.state_dict(), model.state_dict(), optimizer.state_dict()))
    expected = masks(entry, ldb, model, optimizer, range(2, 6))
    again = entry.model()
    other, other_optimizer = attach(again)
    other.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    other_optimizer.load_state_dict(saved[2])
    assert masks(entry, other, again, other_optimizer, range(2, 6)) == expected
    for mine, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert any(mask and any(mask) for mask in expected)


@pytest.mark.parametrize("strategy", ["uniform", "truncate"])
def test_another_strategy_goes_on_from_the_state_without_the_branches(strategy):
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model)
    masks(entry, ldb, model, optimizer, range(2))
    saved = ldb.state_dict()
    ldb.detach()
    other = LayerDropBack(model, optimizer, 0.6, strategy=strategy, every=1, verify=True)
    other.load_state_dict(saved)
    assert not any(ATTRIBUTE in vars(module) for module in model.modules())
    masks(entry, other, model, optimizer, range(2, 12))
    dropped = {name for name, times in other.stats()["times_dropped"].items() if times}
    assert "patch_embed.proj" in dropped  # it lies in no branch
    assert other.state_dict()["branches"] is None


@pytest.mark.parametrize(
    "branches",
    [
        [["blocks.9.attn", [], 0.1]],
        [["blocks.0.attn", ["no.such"], 0.1]],
        [["blocks.0.attn", [], -1.0]],
        [["blocks.0.attn", []]],
        "x",
    ],
)
def test_damaged_branches_are_refused(branches):
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model)
    masks(entry, ldb, model, optimizer, range(1))
    with pytest.raises(StateError, match="no usable 'branches'"):
        ldb.load_state_dict(ldb.state_dict() | {"branches": branches})
