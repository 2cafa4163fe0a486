"""Branches of real architectures, which can all be cut off with the outputs unchanged."""

import pytest
import timm
import torch
from torch import nn

from layerdropback import AttachError
from layerdropback.engine.switches import ATTRIBUTE, install, turn
from layerdropback.interop.wrappers import named_modules
from layerdropback.lab import find_branches
from zoo import ZOO, Skip

# Family, model, image side, and how many branches by the architecture's own description.
FAMILIES = [
    ("ResNet", "resnet18", 32, 8),
    ("ResNet, bottlenecks", "resnet50", 32, 16),
    ("DenseNet", "densenet121", 32, 58),
    ("ViT", "vit_tiny_patch16_224", 224, 24),
    ("Swin", "swin_tiny_patch4_window7_224", 224, 24),
    ("BEiT", "beit_base_patch16_224", 224, 24),
    ("DeiT III", "deit3_small_patch16_224", 224, 24),
    ("ConvNeXt", "convnext_atto", 32, 12),
    ("RegNet", "regnetx_002", 32, 13),
    ("MLP-Mixer", "mixer_s32_224", 224, 16),
    ("ResMLP", "resmlp_12_224", 224, 24),
    ("PoolFormer", "poolformer_s12", 64, 24),
    ("SENet", "legacy_seresnet18", 64, 8),
    ("DLA", "dla34", 64, None),
    ("EfficientNet", "efficientnet_b0", 32, None),
    ("MobileNet", "mobilenetv3_small_050", 32, None),
    ("CoAtNet", "coatnet_nano_rw_224", 224, None),
]
QUICK = ("ResNet", "ViT", "ConvNeXt", "RegNet", "SENet", "EfficientNet", "MobileNet")


CASES = [
    pytest.param(*case, id=family, marks=[] if family in QUICK else [pytest.mark.slow])
    for family, *case in FAMILIES
]


def names_of(branches):
    return [branch.name for branch in branches]


@pytest.mark.parametrize(("model", "size", "count"), CASES)
def test_families_have_their_branches_and_outputs_stay_bitwise_equal(model, size, count):
    net = timm.create_model(model, num_classes=3).train()
    images = torch.randn(2, 3, size, size)
    branches = find_branches(net, images)
    assert len(branches) == count if count else len(branches) >= 9
    check_all_cut(net, images, branches)


def check_all_cut(net, batch, branches, loss=torch.sum):
    """With every branch drawn the outputs are the same, and just the branches have no gradient."""
    call = (lambda: net(**batch)[0]) if isinstance(batch, dict) else (lambda: net(batch))
    torch.manual_seed(0)
    plain = call()
    modules = [named_modules(net)[name] for name in names_of(branches)]
    removers = [install(module) for module in modules]
    turn(modules, on=True)
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


def hugging_face(name):
    """A model of three layers, and a batch."""
    hf = pytest.importorskip("transformers")
    tokens = torch.randint(0, 50, (2, 16))
    sizes = {"num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 2}
    make, config, batch = {
        "GPT-2": (
            hf.GPT2LMHeadModel,
            hf.GPT2Config(n_layer=3, n_embd=32, n_head=2, vocab_size=50),
            {"input_ids": tokens, "labels": tokens},
        ),
        "BERT": (
            hf.BertForSequenceClassification,
            hf.BertConfig(**sizes, intermediate_size=64, vocab_size=50),
            {"input_ids": tokens, "labels": torch.tensor([0, 1])},
        ),
        "ViT": (
            hf.ViTForImageClassification,
            hf.ViTConfig(**sizes, intermediate_size=64, num_labels=3, image_size=32),
            {"pixel_values": torch.randn(2, 3, 32, 32), "labels": torch.tensor([0, 1])},
        ),
    }[name]
    return make(config).train(), batch


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["GPT-2", "BERT", "ViT"])
def test_hugging_face_models_from_config(name):
    net, batch = hugging_face(name)
    branches = find_branches(net, batch)
    assert len(branches) == 6  # of 3 layers
    check_all_cut(net, batch, branches)


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


def test_a_frozen_model_shows_the_branches_it_would_have():
    model = ZOO["vit"].model().requires_grad_(False)
    assert len(find_branches(model, torch.randn(2, 3, 16, 16))) == 4
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_model_without_skip_connections_is_told():
    with pytest.raises(AttachError, match=r"Sequential has no residual branch.*use Truncate\(\)"):
        find_branches(ZOO["mlp"].model(), torch.randn(2, 8))


class Looks(nn.Module):
    """Looks at numbers, and does not take the same way for all."""

    def __init__(self):
        super().__init__()
        self.inner = Skip(nn.Linear(8, 8))

    def forward(self, x):
        return self.inner(x) if float(x.detach().sum()) > 0 else x


def test_the_way_that_the_batch_takes_is_looked_at():
    model = nn.Sequential(nn.Linear(8, 8, bias=False), Looks(), nn.Linear(8, 2))
    nn.init.eye_(model[0].weight)
    assert names_of(find_branches(model, torch.ones(2, 8))) == ["1.inner.inner"]
    with pytest.raises(AttachError, match="no residual branch"):
        find_branches(model, -torch.ones(2, 8))


def test_a_forward_pass_may_consume_its_batch():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = ZOO["residual"].model()

        def forward(self, parts, scale):
            x = parts.pop()
            x[0] = 0
            return self.net(x.mul_(scale))

    batch = ([torch.ones(2, 8)], torch.tensor(2))
    assert names_of(find_branches(Net(), batch)) == ["net.2.inner"]
    assert len(batch[0]) == 1
    assert (batch[0][0] == 1).all()


def test_a_loss_of_ones_own_says_where_gradients_come_from():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head, self.other = nn.Linear(8, 8), Skip(nn.Linear(8, 8)), mlp()

        def forward(self, x):
            x = self.body(x)
            return self.other(x), self.head(x)

    def mlp():
        return ZOO["mlp"].model()

    model, batch = Two(), (torch.ones(2, 8),)
    with pytest.raises(AttachError, match="no residual branch"):
        find_branches(model, batch)
    branches = find_branches(model, batch, loss=lambda outputs: outputs[1].sum())
    assert names_of(branches) == ["head.inner"]
