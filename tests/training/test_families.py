"""Every family of the paper and its neighbours trains in every unit and strategy (issue 3)."""

from dataclasses import replace

import pytest
import torch

import small_models  # noqa: F401 - registers the model
from layerdropback import AttachError
from layerdropback.strategies import STRATEGIES
from layerdropback.strategies.base import UNITS
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import Dropping
from layerdropback.training.export import export_weights
from layerdropback.training.images.data import ImageData, Split
from layerdropback.training.loop import Trainer

# One small model of each, and its arguments; the whole ones of timm where all tests run.
FAMILIES = {
    "ViT": ("vit_tiny_patch16_224", "depth=4", "embed_dim=48"),
    "ViT, whole": "vit_tiny_patch16_224",
    "Swin": "swin_tiny_patch4_window7_224",
    "EfficientNet": ("test_efficientnet", "depth_multiplier=2.0"),
    "EfficientNet, whole": "efficientnet_b0",
    "DLA": "dla46_c",
    "ResNet": "narrow_resnet",
    "ResNet, whole": "resnet10t",
    "DenseNet": "narrow_densenet",
    "DenseNet, whole": "densenet121",
    "ConvNeXt": "test_convnext",
    "ConvNeXt, whole": "convnext_atto",
    "MobileNet": "mobilenetv3_small_050",
    "RegNet": "regnetx_002",
    "VGG": "narrow_vgg",
    # Its own classifier has ten times as many parameters as all the rest.
    "VGG, whole": ("vgg11_bn", "mlp_ratio=0.125"),
    "SENet": "narrow_senet",
    "SENet, whole": "legacy_seresnet18",
}
# In so many ways in every run, and in all of them where all tests run; one way for the others.
WAYS_THAT_RUN = {family: 0 for family in FAMILIES if family.endswith("whole")}
WAYS_THAT_RUN |= {"Swin": 0, "ResNet": 4, "ViT": 9}
WAYS = [(unit, "uniform") for unit in UNITS]
WAYS += [("layer", strategy) for strategy in STRATEGIES if strategy not in ("uniform", "blocks")]
WAYS += [("block", "blocks")]
CASES = [
    pytest.param(
        family, *way, marks=pytest.mark.slow if number >= WAYS_THAT_RUN.get(family, 1) else ()
    )
    for family in FAMILIES
    for number, way in enumerate(WAYS)
    # Neither a skip connection nor blocks that repeat.
    if not (family.startswith("VGG") and way[1] in ("branch", "blocks"))
]


def images(size, classes, count=4):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    split = Split(pixels, torch.arange(count) % classes)
    return ImageData("made", tuple(f"class {i}" for i in range(classes)), split, split, flips=True)


def trained(config, data):
    """One full and one drop epoch; the trainer and the metrics of both."""
    trainer = Trainer(config, data)
    return trainer, [trainer.train_epoch(epoch) for epoch in range(2)]


def check(metrics, strategy):
    full, drop = metrics
    assert (full.mode, drop.mode) == ("full", "drop")
    assert full.share_dropped == 0
    assert (0 < drop.share_dropped < 1) == (strategy != "control")
    assert drop.lr_factor == 2


def base(family, unit, strategy):
    # In the first of two drop steps of a few blocks all may be kept: half of many is not.
    own = {"control": {}, "blocks": {"active_blocks": 1, "every": 2, "start": 1}}
    amount = own.get(strategy, {"drop_rate": 0.8})
    dropping = Dropping(unit=unit, strategy=strategy, verify=True, lr_scale=2.0, **amount)
    chosen = FAMILIES[family]
    model, *arguments = (chosen,) if isinstance(chosen, str) else chosen
    settings = {"model": model, "model_args": tuple(arguments), "dropping": dropping}
    return TrainConfig(epochs=2, batch_size=2, lr=1e-3, augment=True, **settings)


def test_a_family_without_skip_connections_is_told():
    with pytest.raises(AttachError, match="VGG has no residual branch"):
        trained(base("VGG", "layer", "branch"), images(32, 2))


@pytest.mark.parametrize(("family", "unit", "strategy"), CASES)
def test_from_scratch_at_32_pixels_and_fine_tuned_from_it(family, unit, strategy, tmp_path):
    """The second training starts from the first one's weights, for another number of classes."""
    config = base(family, unit, strategy)
    scratch, metrics = trained(config, images(32, 2))
    check(metrics, strategy)
    path = tmp_path / "weights.safetensors"
    export_weights(scratch.model, path, scratch.network.spec, {"classes": ["a", "b"]})
    tuned = Trainer(replace(config, init=path), images(32, 3))
    assert "is new (2 -> 3 classes)" in tuned.network.start
    before, own = scratch.model.state_dict(), tuned.model.state_dict()
    assert before.keys() == own.keys()
    new = [name for name in own if not torch.equal(own[name], before[name])]
    head = {id(p) for p in tuned.model.get_classifier().parameters()}
    assert new == [name for name, p in tuned.model.named_parameters() if id(p) in head]
    check([tuned.train_epoch(epoch) for epoch in range(2)], strategy)


# At the size that most were made for: what dropping does with it, the smaller one has shown.
LARGE = [
    case
    if case.marks or case.values in (("ResNet", "layer", "uniform"), ("ViT", "layer", "uniform"))
    else pytest.param(*case.values, marks=pytest.mark.slow)
    for case in CASES
]


@pytest.mark.parametrize(("family", "unit", "strategy"), LARGE)
def test_from_scratch_at_224_pixels(family, unit, strategy):
    _, metrics = trained(base(family, unit, strategy), images(224, 2, count=2))
    check(metrics, strategy)
