"""Smaller models than timm has of some families, registered with it."""

from timm.models import register_model
from timm.models.densenet import DenseNet
from timm.models.resnet import BasicBlock, ResNet
from timm.models.senet import SENet, SEResNetBlock
from timm.models.vgg import VGG


@register_model
def narrow_vgg(
    pretrained=False, pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None, **settings
):
    """timm's smallest VGG has 130 million parameters, nearly all of them behind its features."""
    return VGG([16, "M", 32, "M", 32, 32, "M", 64, "M", 64, "M"], mlp_ratio=1 / 32, **settings)


@register_model
def narrow_densenet(
    pretrained=False, pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None, **settings
):
    return DenseNet(growth_rate=8, block_config=(2, 2, 2, 2), **settings)


@register_model
def narrow_senet(
    pretrained=False, pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None, **settings
):
    return SENet(SEResNetBlock, (1, 1, 1, 1), groups=1, reduction=16, **settings)


@register_model
def narrow_resnet(
    pretrained=False, pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None, **settings
):
    channels = (16, 16, 32, 32)
    return ResNet(BasicBlock, (1, 1, 1, 1), channels=channels, stem_width=16, **settings)
