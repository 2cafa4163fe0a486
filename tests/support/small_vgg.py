"""A small VGG for timm, which has none."""

from timm.models import register_model
from timm.models.vgg import VGG


@register_model
def narrow_vgg(
    pretrained=False, pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None, **settings
):
    """timm's smallest VGG has 130 million parameters, nearly all of them behind its features."""
    return VGG([16, "M", 32, "M", 32, 32, "M", 64, "M", 64, "M"], mlp_ratio=1 / 32, **settings)
