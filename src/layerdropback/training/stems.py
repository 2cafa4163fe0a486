"""Small stems for small images, by a table of timm's families.

Networks made for 224 pixels shrink an image fourfold before their first block; of a 32-pixel image
nothing would be left. A family that is not in the table runs unmodified.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

# Images up to this side, in pixels, are small.
SMALL = 64


@dataclass(frozen=True)
class Stem:
    """How a family gets its small stem.

    Attributes:
        arguments: of ``timm.create_model``, from the image's side.
        strided: modules whose first convolution is set to stride 1; a 7x7 or 5x5 one becomes 3x3.
        pools: modules that are replaced by nothing.
        but: parts of names of the family's models whose stem is another one.
        resampled: whether timm fits pretrained weights to `arguments`.
    """

    arguments: Callable[[int], dict[str, Any]] = field(default=lambda size: {})
    strided: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    resampled: bool = True


def _patches(size: int) -> dict[str, Any]:
    return {"img_size": size, "patch_size": _divisor(size, size // 8)}


def _windows(size: int) -> dict[str, Any]:
    return {"img_size": size, "patch_size": _divisor(size, size // 16), "window_size": 4}


def _divisor(size: int, most: int) -> int:
    """The largest side of a patch that leaves no pixel over."""
    return max(side for side in range(1, max(1, most) + 1) if size % side == 0)


# By timm's module names; `timm.models.resnet` holds ResNeXt, SE-ResNet and Wide ResNet too, and
# `timm.models.efficientnet` MobileNetV2 and MnasNet.
TABLE: dict[str, Stem] = {
    "resnet": Stem(strided=("conv1",), pools=("maxpool",)),
    "senet": Stem(strided=("layer0.conv1",), pools=("pool0",)),
    "densenet": Stem(strided=("features.conv0",), pools=("features.pool0",)),
    "efficientnet": Stem(strided=("conv_stem",)),
    "mobilenetv3": Stem(strided=("conv_stem",)),
    "regnet": Stem(strided=("stem.conv",), but=("regnetv", "regnetz")),
    "dla": Stem(strided=("level1.0",)),
    "convnext": Stem(
        arguments=lambda size: {"patch_size": 1 if size <= 32 else 2},
        but=("_ols",),
        resampled=False,
    ),
    "vision_transformer": Stem(arguments=_patches),
    "deit": Stem(arguments=_patches),
    "beit": Stem(arguments=_patches),
    "swin_transformer": Stem(arguments=_windows),
}


def apply(model: nn.Module, stem: Stem) -> str:
    """Change a model's stem in place.

    Returns:
        What was changed, for a line of output.
    """
    done = []
    for name in stem.strided:
        path, conv = _first_conv(model, name)
        before = f"{conv.kernel_size[0]}x{conv.kernel_size[1]} stride {conv.stride[0]}"
        kernel = 3 if conv.kernel_size[0] > 3 else conv.kernel_size[0]
        if kernel != conv.kernel_size[0]:
            conv = _smaller(conv, kernel)
            parent, _, child = path.rpartition(".")
            setattr(model.get_submodule(parent), child, conv)
        conv.stride = (1, 1)
        done.append(f"{path} {kernel}x{kernel} stride 1 (was {before})")
    for name in stem.pools:
        parent, _, child = name.rpartition(".")
        if not isinstance(model.get_submodule(name), nn.Identity):
            setattr(model.get_submodule(parent), child, nn.Identity())
            done.append(f"no {name}")
    return ", ".join(done)


def _first_conv(model: nn.Module, name: str) -> tuple[str, nn.Conv2d]:
    for inner, module in model.get_submodule(name).named_modules():
        if isinstance(module, nn.Conv2d):
            return (f"{name}.{inner}" if inner else name), module
    raise LookupError(f"{type(model).__name__} has no convolution in {name}")


def _smaller(conv: nn.Conv2d, kernel: int) -> nn.Conv2d:
    smaller = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        kernel,
        padding=kernel // 2,
        groups=conv.groups,
        bias=conv.bias is not None,
    )
    nn.init.kaiming_normal_(smaller.weight, mode="fan_out", nonlinearity="relu")
    return smaller
