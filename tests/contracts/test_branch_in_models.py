"""Residual branches drop whole, cut off without a trace in the forward pass."""

import copy
import pickle

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from attached import SKIPPING, attach, sgd
from layerdropback import AttachError, Branch, LayerDropBack, Schedule, StateError
from layerdropback.engine.switches import ATTRIBUTE
from layerdropback.lab import find_branches
from twins import ALWAYS
from zoo import CLASSES, ZOO, Skip


def groups_of(ldb):
    plan = ldb._engine.windows.planner.plan
    return plan.facts(plan.heads()).groups


def branching(model, rate=0.5, schedule=ALWAYS, **fields):
    return attach(model, Branch(rate, **fields), schedule=schedule)


def test_a_model_without_skip_connections_is_told_before_a_weight_moves():
    entry = ZOO["mlp"]
    model = entry.model()
    before = copy.deepcopy(model.state_dict())
    ldb, optimizer = branching(model)
    with pytest.raises(AttachError, match=r"Sequential has no residual branch.*use Truncate\(\)"):
        entry.train(ldb, model, optimizer, [0], steps=1)
    torch.testing.assert_close(dict(model.state_dict()), dict(before), rtol=0, atol=0)


def test_a_frozen_stem_and_low_rank_adapters_do_not_hide_branches():
    class Adapted(nn.Module):
        """A frozen layer with a low-rank one beside it."""

        def __init__(self):
            super().__init__()
            self.frozen = nn.Linear(8, 8).requires_grad_(False)
            self.down, self.up = nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)

        def forward(self, x):
            return self.frozen(x) + self.up(self.down(x))

    model = nn.Sequential(nn.Linear(8, 8), Skip(Adapted()), Skip(Adapted()), nn.Linear(8, 3))
    model[0].requires_grad_(False)
    found = find_branches(model, torch.randn(2, 8))
    assert [branch.name for branch in found] == ["1.inner", "2.inner"]
    ldb, optimizer = branching(model)
    dropped = set()
    for _ in ldb.epoch(range(16), 0):
        mask = [] if ldb.mask is None else ldb.mask
        dropped |= {ldb.layers[i].name for i in np.flatnonzero(mask)}
        model(torch.randn(2, 8)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    # Before the first one nothing trains, so that no gradient shows the way past it.
    assert dropped == {"2.inner.down", "2.inner.up"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_outputs_on_the_way_to_the_loss_are_no_ends_of_their_own():
    """GPT-2 gives its keys and values away, which gradients pass on their way to the loss."""
    hf = pytest.importorskip("transformers")
    net = hf.GPT2LMHeadModel(hf.GPT2Config(n_layer=3, n_embd=32, n_head=2, vocab_size=50))
    tokens = torch.randint(0, 50, (2, 16))
    ldb, optimizer = branching(net)
    for _ in ldb.epoch(range(4), 0):
        net(input_ids=tokens, labels=tokens, use_cache=True).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    learned = ldb._engine.windows.planner.knowledge.learned
    # Before 5 attention returns a tuple, and the branch is the last module inside of it.
    found = [branch.name.removesuffix(".resid_dropout") for branch in learned.branches]
    assert found == [f"transformer.h.{i}.{kind}" for i in range(3) for kind in ("attn", "mlp")]


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
    ldb, optimizer = branching(model)
    twin_optimizer = sgd(twin)
    cuts = []
    for images, targets in ldb.epoch(entry.batches(9), 0):
        switched = set(ldb._engine.windows.window.switched)
        cut = {key for key, module in model.named_modules() if module in switched}
        cuts.append(cut)
        entry.backward(model, (images, targets))
        functional.cross_entropy(forward(twin, images, cut), targets).backward()
        for each in (optimizer, twin_optimizer):
            each.step()
            each.zero_grad()
        for (key, mine), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6, msg=key)
    assert any(0 < len(cut) < 4 for cut in cuts)


@pytest.mark.in_turn("unit")
@pytest.mark.parametrize("unit", ["layer", "tensor"])
@pytest.mark.parametrize("name", sorted(SKIPPING))
def test_branches_drop_whole_and_at_their_rate(name, unit):
    entry = ZOO[name]
    model = entry.model()
    ldb, optimizer = branching(model, 0.4, unit=unit, schedule=Schedule(every=1, start=1))
    entry.train(ldb, model, optimizer, [0], steps=1)
    groups = [set(group.layers) for group in groups_of(ldb)]
    counts = np.zeros(len(groups), int)
    for mask in entry.train(ldb, model, optimizer, [1], steps=30):
        dropped = set(np.flatnonzero(mask))
        drawn = [group <= dropped for group in groups]
        assert dropped == set().union(*(g for g, d in zip(groups, drawn, strict=True) if d))
        counts += drawn
    # Binomial(30, 0.4): between 1 and 25 but for one in a million.
    assert ((counts > 0) & (counts < 26)).all()


def test_blocks_are_dropped_with_all_of_their_branches():
    entry = ZOO["vit"]
    torch.manual_seed(1)
    model = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=16, depth=3, num_heads=2, num_classes=CLASSES
    )
    ldb, optimizer = branching(model, unit="block")
    entry.train(ldb, model, optimizer, [0], steps=1)
    assert [group.modules for group in groups_of(ldb)] == [
        ("blocks.0.attn", "blocks.0.mlp"),
        ("blocks.1.attn", "blocks.1.mlp"),
        ("blocks.2.attn", "blocks.2.mlp"),
    ]
    lines = ldb.summary()
    assert "branch, rate 0.5" in lines
    assert "in no branch" in lines


def test_a_unit_that_holds_more_than_branches_is_told():
    """A ResNet's block holds what is after its skip connection, too."""
    entry = ZOO["resnet"]
    model = entry.model()
    ldb, optimizer = branching(model, unit="block")
    text = "no branch can be dropped.*every branch shares a layer.*unit='block'.*finer unit"
    with pytest.raises(AttachError, match=text):
        entry.train(ldb, model, optimizer, [0], steps=1)


def test_a_branch_with_a_kept_layer_is_kept():
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = branching(model, 0.9, keep=["blocks.0.attn.proj"])
    entry.train(ldb, model, optimizer, [0])
    times = ldb.stats()["times_dropped"]
    assert times["blocks.0.norm1"] == times["blocks.0.attn.qkv"] == 0
    assert times["blocks.0.mlp.fc1"] > 0


def test_switches_are_open_whenever_user_code_runs():
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = branching(model, 0.9)

    def switches():
        return [vars(m)[ATTRIBUTE] for m in model.modules() if ATTRIBUTE in vars(m)]

    inside = []
    model.norm.register_forward_hook(lambda *_: inside.append(any(switches())))
    for images, targets in ldb.epoch(entry.batches(6), 0):
        assert not any(switches())
        loss = functional.cross_entropy(model(images), targets)
        assert not any(switches())
        loss.backward()
        assert not any(switches())
        optimizer.step()
        optimizer.zero_grad()
    assert len(switches()) == 4
    assert any(inside[1:])
    assert not inside[0], "the first step is a full one"


@pytest.mark.parametrize("way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("part", ["", "blocks.0", "blocks.0.attn"])
def test_copies_carry_no_switch(part, way):
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = branching(model, 0.9)
    entry.train(ldb, model, optimizer, [0], steps=3)
    copied = way(model.get_submodule(part))
    ldb.detach()
    for module in (*copied.modules(), *model.modules()):
        assert not module._forward_hooks
        assert not {ATTRIBUTE, "__deepcopy__", "__reduce_ex__"} & vars(module).keys()


# ---- the state -----------------------------------------------------------------------------------


def test_a_resumed_run_goes_on_bit_for_bit():
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = branching(model, schedule=Schedule())
    entry.train(ldb, model, optimizer, range(2), 3)
    saved = copy.deepcopy((ldb.state_dict(), model.state_dict(), optimizer.state_dict()))
    expected = entry.train(ldb, model, optimizer, range(2, 6), 3)
    again = entry.model()
    other, other_optimizer = branching(again, schedule=Schedule())
    other.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    other_optimizer.load_state_dict(saved[2])
    assert entry.train(other, again, other_optimizer, range(2, 6), 3) == expected
    torch.testing.assert_close(dict(model.state_dict()), dict(again.state_dict()), rtol=0, atol=0)
    assert any(mask and any(mask) for mask in expected)


@pytest.mark.parametrize("strategy", ["uniform", "truncate"])
def test_another_strategy_goes_on_from_the_state_without_the_branches(strategy):
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = branching(model)
    entry.train(ldb, model, optimizer, range(1))
    saved = ldb.state_dict()
    ldb.detach()
    other = LayerDropBack(model, optimizer, strategy, ALWAYS, verify=True)
    with pytest.warns(UserWarning, match="strategy.name is 'branch' in the state and"):
        other.load_state_dict(saved)
    assert not any(ATTRIBUTE in vars(module) for module in model.modules())
    entry.train(other, model, optimizer, range(1, 3))
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
    ldb, optimizer = branching(model)
    entry.train(ldb, model, optimizer, [0], 1)
    with pytest.raises(StateError, match="no usable 'branches'"):
        ldb.load_state_dict(ldb.state_dict() | {"branches": branches})
