"""The command line's flags, made from the settings' own fields."""

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from ..errors import UsageError, explain
from ..training.config import LEARNING_RATES, all_flags
from ..training.dropping import over
from ..training.flag import Flag
from ..training.recipes import RECIPES, recipe_settings
from ..training.settings_file import read_settings
from .app import choice, flag

# Flags whose absence means "no", with nothing that could be said to the contrary in a file.
_SWITCHES = ("download", "overwrite", "resume")

_FROM_ELSEWHERE = {
    "recipe": Flag("Settings by name, flags win", tuple(RECIPES), None, str, "Settings"),
    "config": Flag("Settings from a YAML or TOML file; flags win.", (), None, Path, "Settings"),
}


def with_settings(
    command: Callable[..., None],
    without: Collection[str] = (),
    only: Collection[str] | None = None,
) -> Callable[..., None]:
    """Give a command a flag for every setting, ``--recipe`` and ``--config``, before its own.

    Each flag is None (or an empty list) where it was not given, so that a file or a recipe can say
    it; the command gets them all as keyword arguments.

    Args:
        command: takes keyword arguments; those that it names are flags of its own.
        without: settings that it has no use for.
        only: the settings that it has a use for; all by default.
    """
    flags = [
        _parameter(name, made)
        for name, made in (_FROM_ELSEWHERE | all_flags()).items()
        if name in _FROM_ELSEWHERE or (name not in without and (only is None or name in only))
    ]
    kinds = get_type_hints(command, include_extras=True)
    flags += [
        own.replace(annotation=kinds[own.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for own in inspect.signature(command).parameters.values()
        if own.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    signature = inspect.Signature(flags)

    def run(**given: Any) -> None:
        command(**given)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in flags}
    return run


def layered(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe, a file and the flags set, the later before the earlier.

    Args:
        given: what `with_settings` handed over.

    Raises:
        UsageError: the recipe is unknown, or the file cannot be used.
    """
    known = all_flags()
    file = {} if given["config"] is None else read_settings(given["config"])
    flags = {
        name: _from_flag(value, known[name].kind)
        for name, value in given.items()
        if name not in _FROM_ELSEWHERE and value is not None and value != []
    }
    recipe = file.pop("recipe", None) if given["recipe"] is None else given["recipe"]
    file.pop("recipe", None)
    return over(over(recipe_settings(recipe), file), flags)


def numbers(text: str, flag: str) -> tuple[float, ...]:
    """Read numbers with commas between them.

    Raises:
        UsageError: they are none; the text names the flag.

    Example:
        >>> numbers("0.1, 0.2", "--lr-grid")
        (0.1, 0.2)
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        cause = "numbers with commas between them are needed"
        raise UsageError(explain(f"{flag} {text} is not usable", cause, "give some")) from None


def _parameter(name: str, setting: Flag) -> inspect.Parameter:
    kind, dashed = _cli_type(setting.kind), name.replace("_", "-")
    names = f"--{dashed}"
    if kind is bool and name not in _SWITCHES:
        names = f"{names}/--no-{dashed}"
    option = flag(setting.group, _help(name, setting), names, words=setting.choices)
    annotation = Annotated[kind | None, option]  # type: ignore[valid-type]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _cli_type(kind: Any) -> Any:
    """What the parser shall make of a flag: numbers of a union with a word are read later."""
    options = [option for option in get_args(kind) if option is not type(None)] or [kind]
    for several in (kind, options[0]):
        if get_origin(several) is tuple:
            return list[get_args(several)[0]]  # type: ignore[misc]
    return options[0] if len(options) == 1 and isinstance(options[0], type) else str


def _from_flag(value: Any, kind: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and float in get_args(kind):
        try:
            return float(value)
        except ValueError:
            return value  # "inverse", or wrong: the settings' own check tells
    return value


def _help(name: str, setting: Flag) -> str:
    text, choices, default = setting.text, setting.choices, setting.default
    if choices:
        text = f"{text}: {choice(choices)}." if ":" not in text else f"{text}; {choice(choices)}."
    if name == "lr":
        default = ", ".join(f"{rate:g} for {kind}" for kind, rate in LEARNING_RATES.items())
    if isinstance(default, tuple):
        default = " ".join(map(str, default)) or None
    said = default is None or default is False or "[default" in text
    return text if said else f"{text}  [default: {'on' if default is True else default}]"
