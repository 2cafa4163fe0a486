"""``--model-args``: what timm's models are built with beyond their names."""

from collections.abc import Sequence
from typing import Any

from ..errors import UsageError, explain
from ..runs.parsing import of_yaml

# What the data and other flags decide.
_OTHERS = frozenset(
    {"model_name", "num_classes", "in_chans", "pretrained", "pretrained_cfg", "checkpoint_path"}
    | {"pretrained_cfg_overlay", "cache_dir", "features_only", "scriptable", "exportable"}
)


def parse_model_args(texts: Sequence[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE`` texts, the values as YAML.

    Raises:
        UsageError: one cannot be read, comes twice, or is another flag's business.

    Example:
        >>> parse_model_args(["drop_path_rate=0.1", "channels=[32, 64, 128, 256]"])
        {'drop_path_rate': 0.1, 'channels': [32, 64, 128, 256]}
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key, fact = key.strip(), f"--model-args {text} is not usable"
        if not equals or not key.isidentifier():
            cure = "give it as in drop_path_rate=0.1"
            raise UsageError(explain(fact, "it is KEY=VALUE", cure))
        if key in _OTHERS:
            cause = f"{key} follows from the data or from another flag"
            raise UsageError(explain(fact, cause, "leave it out"))
        if key in found:
            raise UsageError(explain(fact, f"{key} is given twice", "give it once"))
        try:
            found[key] = of_yaml(value)
        except ValueError:
            cause = f"{value.strip()!r} is no value"
            raise UsageError(explain(fact, cause, "give a number, a word or a [list]")) from None
    return found
