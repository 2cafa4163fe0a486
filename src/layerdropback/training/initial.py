"""Weights to start from, out of a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import UsageError, explain, name_some
from ..runs.folder import WEIGHTS
from ..runs.naming import nfc
from ..runs.parsing import of_json
from ..runs.paths import home
from ..runs.reasons import reason
from .export import KEY, file_metadata
from .inputs import Inputs
from .models import ModelSpec


def load_initial(
    model: nn.Module, path: Path, classes: Sequence[str] = (), spec: ModelSpec | None = None
) -> str:
    """Load weights into a model; only its classifier may be another one than the file's.

    Args:
        model: what `build_model` built.
        path: a safetensors file with the model's names, one that ``ldb`` exported for example.
        classes: names of the model's classes; where the file names others the classifier stays
            new even if its shape fits. Empty where they are not known.
        spec: what was built; a file that says that it is of another network is refused.

    Returns:
        A line that says what was loaded, and what stays new.

    Raises:
        UsageError: the file cannot be read, or does not fit; then nothing is loaded.
    """
    path = _file(path)
    notes = _notes(path)
    _require_same_network(notes.get("spec"), spec, path)
    weights = _weights(path)
    own = model.state_dict(keep_vars=True)
    name, head = _classifier(model, own)
    problem, said = _differences(weights, own, head), f"weights from {path}"
    if problem:
        fact = f"--init {path} does not fit the model"
        raise UsageError(explain(fact, problem, f"give the same {_flags(notes)}, or another file"))
    new = _why_new(weights, own, head, notes.get("classes"), classes)
    if new:
        weights = {key: value for key, value in weights.items() if key not in head}
        said += f"; the classifier {name} is new ({new})"
    elif head:
        said += ", its classifier included"
    model.load_state_dict(weights, strict=False)  # all but the names of tied tensors is there
    return said


def _weights(path: Path) -> dict[str, Tensor]:
    """A file's tensors, each of numbers that training can begin with.

    Raises:
        UsageError: they cannot be read, or are no such numbers.
    """
    try:
        weights: dict[str, Tensor] = load_file(path)
        wrong = [name for name, value in weights.items() if not _is_finite(value)]
    except Exception as error:  # of types that this torch does not have, say
        fact = f"cannot read {path}"
        raise UsageError(explain(fact, reason(error), "give another file")) from None
    if wrong:
        fact = f"--init {path} is not usable"
        cause = f"there are NaN or infinities in {name_some(wrong)}"
        raise UsageError(explain(fact, cause, "give weights of a run that has not diverged"))
    return weights


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(value.float().isfinite().all())


def scale_head(model: nn.Module, factor: float) -> None:
    """Multiply the weights of a new classifier, see ``--head-init-scale``; its biases stay.

    Example:
        >>> import timm
        >>> model = timm.create_model("test_resnet")
        >>> scale_head(model, 0.0)
        >>> bool(model.fc.weight.any())
        False
    """
    own = model.state_dict()
    for name in _classifier(model, own)[1]:
        if own[name].ndim > 1:
            own[name].mul_(factor)


def initial_inputs(path: Path) -> Inputs | None:
    """What an exported file's weights want of images.

    Returns:
        None where the file does not say.

    Raises:
        UsageError: the file cannot be read.
    """
    notes = _notes(_file(path))
    try:
        return Inputs.read(notes)
    except (KeyError, TypeError, ValueError):
        return None


def _file(path: Path) -> Path:
    """The file that ``--init`` means: of a run's folder, its weights."""
    path = home(path, "--init ")
    return path / WEIGHTS if path.is_dir() else path


def _require_same_network(there: object, here: ModelSpec | None, path: Path) -> None:
    """Shapes alone do not tell one network from another: strides and activations have none."""
    if not isinstance(there, dict) or here is None:
        return
    words = {"name": "model", "small_stem": "small stem", "channels": "channels"}
    notes = [
        f"{word} {there[name]} there and {getattr(here, name)} here"
        for name, word in words.items()
        if name in there and there[name] != getattr(here, name)
    ]
    if notes:
        fact = f"--init {path} does not fit the model"
        cure = "give the same --model, --stem and kind of images, or another file"
        raise UsageError(explain(fact, "; ".join(notes), cure))


def _notes(path: Path) -> Mapping[str, Any]:
    """What ldb wrote beside the weights; empty in a file of somebody else's."""
    text = file_metadata(path).get(KEY, "{}")  # its UsageError is a ValueError, too
    try:
        found = of_json(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _classifier(model: nn.Module, own: Mapping[str, Tensor]) -> tuple[str, set[str]]:
    """The names of timm's classifier, or of its two, and of their tensors."""
    get_classifier: Any = getattr(model, "get_classifier", None)
    if get_classifier is None:
        return "", set()
    found = get_classifier()
    modules = found if isinstance(found, tuple | list) else [found]
    names = [name for name, module in model.named_modules() if any(module is m for m in modules)]
    tensors = {key for key in own if key.startswith(tuple(f"{name}." for name in names))}
    return " and ".join(names), tensors


def _differences(weights: Mapping[str, Tensor], own: Mapping[str, Tensor], head: set[str]) -> str:
    """What does not fit, the classifier left out; empty where everything does."""
    # A tied tensor has several names, of which a safetensors file holds one.
    there = {id(own[name]) for name in weights if name in own}
    missing = [name for name in own if id(own[name]) not in there and name not in head]
    unknown = [name for name in weights if name not in own]
    shapes = [
        f"{name} {_shape(value)}, not {_shape(own[name])}"
        for name, value in weights.items()
        if name in own and name not in head and value.shape != own[name].shape
    ]
    kinds = [
        f"{name} {value.dtype}, not {own[name].dtype}"
        for name, value in weights.items()
        if name in own and value.is_floating_point() != own[name].is_floating_point()
    ]
    found = {"missing": missing, "unexpected": unknown, "of another shape": shapes}
    found |= {"of another type": kinds}
    return "; ".join(f"{kind}: {name_some(names)}" for kind, names in found.items() if names)


def _why_new(
    weights: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    head: set[str],
    trained_on: object,
    classes: Sequence[str],
) -> str:
    """Why the classifier is not loaded; empty where it is."""
    if not head <= weights.keys():
        return "the file has none" if not head & weights.keys() else "the file has a part of it"
    for name in sorted(head):
        if weights[name].shape != own[name].shape:
            before, after = weights[name].shape, own[name].shape
            if before[1:] == after[1:]:
                return f"{before[0]} -> {after[0]} classes"
            return f"{name} is {_shape(weights[name])}, not {_shape(own[name])}"
    there = [nfc(name) for name in trained_on] if isinstance(trained_on, list) else trained_on
    if there and classes and there != [nfc(name) for name in classes]:
        return "the file's has other classes"
    return ""


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _flags(notes: Mapping[str, Any]) -> str:
    """The flags that decide a model's shapes, with the file's values where it tells them."""
    spec = notes.get("spec")
    try:
        stem = "small" if spec["small_stem"] else "original"  # type: ignore[index]
        model, size = spec["name"], spec["image_size"]  # type: ignore[index]
    except (KeyError, TypeError):
        return "--model, --stem and --image-size"
    return f"--model {model}, --stem {stem} and --image-size {size}"
