"""Under torch.compile just the kept layers get gradients, the right ones, with few graphs."""

import pytest
import torch
from timm.models.resnet import BasicBlock, ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from attached import dropping, each_strategy
from chain import Chain, together, vectors
from graphs import fresh_compiler, limit
from layerdropback import AttachError, Schedule
from layerdropback.interop.compiling import compile_ignores_flags
from twins import Twins
from zoo import CLASSES, ZOO, Skip

# The compiler's own: it looks at the gradients of its inputs, leaves or not.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute")

# Graphs for blocks of one kind: trained or dropped, and whether the block's input wants a gradient.
# Below a cut no input does; a residual branch is never dropped where all before it is.
BLOCK_GRAPHS = {"uniform": 4, "truncate": 3, "branch": 2}

CLOSE = {"rtol": 1e-4, "atol": 1e-6}

# Making graphs takes seconds: what one strategy shows at once the others show where all tests run.
slow = pytest.mark.slow
truncate_first = pytest.mark.parametrize(
    "strategy",
    ["truncate", pytest.param("uniform", marks=slow), pytest.param("branch", marks=slow)],
)

VIT = ZOO["vit"]


@pytest.fixture
def graphs():
    with fresh_compiler() as graphs:
        yield graphs


def vit(depth):
    torch.manual_seed(1)
    return VisionTransformer(
        img_size=16, patch_size=8, embed_dim=16, depth=depth, num_heads=2, num_classes=CLASSES
    )


def evaluate(model):
    model.eval()
    with torch.no_grad():
        outputs = model(VIT.batches(1)[0][0])
    model.train()
    return outputs


def drops(masks):
    return any(mask is not None and any(mask) for mask in masks)


# ---- block by block ------------------------------------------------------------------------------


@truncate_first
def test_blocks_follow_every_mask_with_few_graphs(strategy, graphs):
    """Also where the first graphs are made in drop steps."""
    model = vit(depth=8)
    twins = Twins(model, strategy=dropping(strategy, unit="block"), **CLOSE)
    graphs.compile_blocks(model.blocks)
    batches = VIT.batches(10)
    twins.train(VIT.backward, batches, range(2))
    warm = graphs.count
    twins.train(VIT.backward, batches, [2])
    assert 2 <= graphs.count == warm <= BLOCK_GRAPHS[strategy]
    assert len(set(twins.masks) - {None}) >= 8
    assert len(twins.masks) == 30
    assert twins.masks.count(None) == 1

    twins.detach()
    twins.backward(VIT.backward, batches[0])
    assert all(parameter.grad is not None for parameter in model.parameters())
    twins.compare_states()


@slow
@each_strategy
def test_full_epochs_windows_of_several_batches_and_evaluation(strategy, graphs):
    model = vit(depth=4)
    graphs.compile_blocks(model.blocks)
    twins = Twins(model, strategy=dropping(strategy, unit="block"), schedule=Schedule(), **CLOSE)
    counts = []
    for epoch in range(6):
        torch.testing.assert_close(evaluate(model), evaluate(twins.twin), **CLOSE)
        twins.train(VIT.backward, VIT.batches(8), [epoch], accumulate=2)
        counts.append(graphs.count)
    assert [mask is None for mask in twins.masks] == ([True] * 4 + [False] * 4) * 3
    assert len(set(twins.masks)) >= 4
    # One more for evaluation, and before the branches are known one that has no switch.
    assert counts[-1] <= BLOCK_GRAPHS[strategy] + 1 + (strategy == "branch")
    assert counts[-1] == counts[3]


def test_single_branches_need_a_graph_for_each_combination_in_a_block(graphs):
    model = vit(depth=4)
    graphs.compile_blocks(model.blocks)
    if compile_ignores_flags():
        with pytest.raises(AttachError, match="blocks.3 is compiled as one graph that holds"):
            Twins(model, strategy="branch")
        return
    twins = Twins(model, strategy=dropping("branch"), **CLOSE)
    twins.train(VIT.backward, VIT.batches(20), range(2))
    assert len(set(twins.masks)) >= 8
    assert 2 <= graphs.count <= 2**2


class Widths(nn.Module):
    """Blocks, each with shapes and so with graphs of its own."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(8, 8), nn.Linear(8, 2)
        self.blocks = nn.ModuleList(
            Skip(nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 8)))
            for width in (4, 6, 8, 10)
        )

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return [self.head(x)]


@slow
@each_strategy
def test_blocks_that_share_no_graph(strategy, graphs):
    """A graph that saw the same block last is one whose guards are most lenient."""
    model = Widths()
    graphs.compile_blocks(model.blocks)
    twins = Twins(model, strategy=dropping(strategy, unit="block"), **CLOSE)
    with limit(4 * BLOCK_GRAPHS[strategy]):
        twins.train(together, vectors(20), range(3))
    assert len(set(twins.masks)) >= 5
    assert graphs.count == 4 * BLOCK_GRAPHS[strategy]


@slow
def test_places_that_are_touched_for_older_compilers_hold_what_they_held(graphs, monkeypatch):
    model = Widths()
    before = [dict(module._parameters) for module in model.modules()]
    graphs.compile_blocks(model.blocks)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "2.6.0")
        twins = Twins(model, strategy=dropping("uniform", unit="block"), **CLOSE)
    twins.train(together, vectors(6), range(1))
    assert drops(twins.masks)
    assert [module._parameters for module in model.modules()] == before


@slow
def test_graphs_that_are_older_than_the_switches_are_not_used(graphs):
    """Without its switch a dropped block has the same flags, but gradients flow through it."""
    model = Chain(dropout=0)
    graphs.compile_blocks(model.blocks)
    twins = Twins(model, strategy=dropping("uniform", unit="block"), **CLOSE)
    twins.train(together, vectors(10), range(2))
    assert graphs.count >= 2
    for strategy in ("branch", "uniform"):
        twins.attach_anew(strategy=dropping(strategy, unit="block"))
        twins.train(together, vectors(10), range(2))
        assert drops(twins.masks[-20:])


@slow
def test_graphs_of_another_models_blocks_are_not_used_for_switches(graphs):
    """All blocks of one kind share their graphs; these are compiled after the switches came."""
    other, model = Chain(dropout=0), Chain(dropout=0)
    graphs.compile_blocks(other.blocks)
    others = Twins(other, strategy=dropping("uniform", unit="block"), **CLOSE)
    others.train(together, vectors(10), range(2))
    assert graphs.count >= 2
    twins = Twins(model, strategy=dropping("branch", unit="block"), **CLOSE)
    twins.train(together, vectors(2), range(1))
    graphs.compile_blocks(model.blocks)
    twins.train(together, vectors(10), range(1, 3))
    assert drops(twins.masks[-20:])
    others.train(together, vectors(10), range(2, 4))


def test_a_tied_heads_early_use_is_cut_off_beside_compiled_blocks(graphs):
    entry = ZOO["tied_gpt"]
    model = entry.model()
    graphs.compile_blocks(model.blocks)
    twins = Twins(model, strategy=dropping("truncate", unit="block"), **CLOSE)
    twins.train(entry.backward, entry.batches(20), range(2))
    assert len(set(twins.masks)) >= 4
    assert 2 <= graphs.count <= BLOCK_GRAPHS["truncate"]


@slow
@each_strategy
def test_blocks_of_several_kinds_and_their_statistics(strategy, graphs):
    """BatchNorm's buffers change in the forward pass, whatever is dropped."""
    torch.manual_seed(1)
    model = ResNet(
        BasicBlock, (3, 3, 2, 2), num_classes=CLASSES, channels=(8, 8, 16, 16), stem_width=8
    )
    kinds = 7  # of the first width one, of the three others the first block and what follows it
    blocks = [block for stage in range(1, 5) for block in getattr(model, f"layer{stage}")]
    graphs.compile_blocks(blocks)
    twins = Twins(model, strategy=dropping(strategy, unit="block"), rtol=1e-3, atol=1e-5)
    entry = ZOO["resnet"]
    with limit(8 * kinds):
        twins.train(entry.backward, entry.batches(20), range(4))
    assert len(set(twins.masks)) >= 8
    assert kinds < graphs.count <= BLOCK_GRAPHS[strategy] * kinds
    twins.compare_states()


@slow
@pytest.mark.filterwarnings("ignore:Skipping serialization")  # torch 2.6's own
@each_strategy
@pytest.mark.usefixtures("graphs")
def test_the_default_compiler(strategy):
    model = vit(depth=4)
    for block in model.blocks:
        block.compile()
    twins = Twins(model, strategy=dropping(strategy, unit="block"), rtol=1e-3, atol=1e-5)
    twins.train(VIT.backward, VIT.batches(10), range(3))
    assert len(set(twins.masks)) >= 5


# ---- the whole model -----------------------------------------------------------------------------


@truncate_first
def test_a_whole_model_needs_a_graph_for_each_mask_of_a_pool(strategy, graphs):
    model = Chain(dropout=0)
    compiled = torch.compile(model, backend=graphs.backend)
    settings = {"strategy": dropping(strategy, pool=3), "schedule": Schedule()}
    if compile_ignores_flags():
        with pytest.raises(AttachError, match="(?s)the whole model.*silently wrong"):
            Twins(model, called=compiled, **settings)
        return
    twins = Twins(model, called=compiled, **settings, **CLOSE)
    twins.train(together, vectors(6), range(2))
    warm = graphs.count
    twins.train(together, vectors(6), range(2, 6))
    assert len(twins.masks) == 36
    assert 3 <= graphs.count <= len(set(twins.masks))
    assert graphs.count == warm <= 3 + 1


@slow
def test_beyond_the_compilers_limit_a_whole_model_runs_uncompiled_and_right(graphs):
    model = Chain(dropout=0)
    compiled = torch.compile(model, backend=graphs.backend)
    if compile_ignores_flags():
        with pytest.raises(AttachError, match="silently wrong"):
            Twins(model, called=compiled)
        return
    twins = Twins(model, called=compiled, **CLOSE)
    with limit(3):
        twins.train(together, vectors(8), range(1))
    assert len(set(twins.masks)) > 4
    assert graphs.count == 3
