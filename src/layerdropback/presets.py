"""The settings of the authors' published scripts (arXiv 2412.18027), by name."""

from types import MappingProxyType
from typing import Any

from .errors import AttachError, explain

# LR and batch factors are those of a drop epoch; see the table in the README.
PRESETS = MappingProxyType(
    {
        "paper-scratch": {
            "drop_rate": 0.5,
            "strategy": "uniform",
            "unit": "tensor",
            "every": 2,
            "start": 1,
            "lr_scale": 2.0,
            "batch_scale": 1,
        },
        "paper-finetune": {
            "drop_rate": 0.5,
            "strategy": "uniform",
            "unit": "tensor",
            "every": 2,
            "start": 1,
            "lr_scale": "inverse",
            "batch_scale": 2,
        },
    }
)


def settings(preset: str) -> dict[str, Any]:
    """The arguments of a preset.

    Args:
        preset: a name in `PRESETS`.

    Raises:
        AttachError: there is no such preset.

    Example:
        >>> settings("paper-finetune")["batch_scale"]
        2
    """
    if preset not in PRESETS:
        cure = f"give one of {', '.join(PRESETS)}"
        raise AttachError([explain(f"preset={preset!r} is unknown", "no such preset exists", cure)])
    return dict(PRESETS[preset])
