"""Whether what is there belongs to the run that goes on."""

from collections.abc import Mapping
from typing import Any

from .naming import nfc


def difference(here: Mapping[str, Any], there: Mapping[str, Any]) -> str | None:
    """Say in what two identities differ, or None where they do not.

    Example:
        >>> difference({"lr": 0.1, "seed": 1}, {"lr": 0.2, "seed": 1})
        'is of another run (lr is 0.1 here and 0.2 there)'
    """
    there = {name: _in_nfc(value) if name == "classes" else value for name, value in there.items()}
    names = [name for name in here.keys() | there.keys() if here.get(name) != there.get(name)]
    shown = [
        "the images changed since it began"
        if name in ("classes", "training_images", "test_images")
        else f"{name} is {here.get(name)} here and {there.get(name)} there"
        for name in sorted(names)
    ]
    return f"is of another run ({'; '.join(dict.fromkeys(shown))})" if shown else None


def _in_nfc(classes: Any) -> Any:
    return [nfc(name) for name in classes] if isinstance(classes, list | tuple) else classes
