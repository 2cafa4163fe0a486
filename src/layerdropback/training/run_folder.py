"""A run's folder: whether it may be written, whose run is in it, and where that goes on."""

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .. import __version__
from ..errors import UsageError, explain
from ..runs.atomic import replace_atomically
from ..runs.checkpoint import Checkpoints, difference
from ..runs.folder import CHECKPOINTS, LINES, MACHINE, SETTINGS, TABLE, WEIGHTS
from ..runs.leaving import absent, nothing_left
from ..runs.machine import command_line
from ..runs.parsing import of_json
from ..runs.paths import home
from ..runs.reasons import reason
from ..runs.releases import begun_by, cannot_use, writer
from .config import FREE, TrainConfig
from .images.augment import make_augments
from .images.data import ImageData
from .metrics import EpochMetrics
from .settings_file import UnknownSetting, read_settings, write_settings

# What a run's checkpoints have.
PARTS: Mapping[str, type] = MappingProxyType(
    {"run": dict, "trainer": dict, "history": list, "export": dict}
)


def require_no_run(config: TrainConfig) -> None:
    """Make sure that no run is lost.

    Raises:
        UsageError: ``--out`` is a file, or has a run and neither flag says what to do with it.
    """
    if config.out is None:
        return
    out = home(config.out, "--out ")
    init = None if config.init is None else home(config.init, "--init ")
    inside = init is not None and out.resolve() in (init.resolve(), *init.resolve().parents)
    if config.overwrite and inside:
        fact = f"--init {config.init} would be removed by --overwrite"
        raise UsageError(explain(fact, f"it is in --out {config.out}", "copy it elsewhere"))
    if out.is_file():
        cause = "a run needs a folder"
        raise UsageError(explain(f"--out {config.out} is a file", cause, "give another name"))
    present = [name for name in (SETTINGS, LINES, WEIGHTS, CHECKPOINTS) if (out / name).exists()]
    if present and not config.overwrite:
        fact = f"--out {config.out} already has {present[0]}"
        ways = "--overwrite" if config.resume else "--resume, or --overwrite"
        raise UsageError(explain(fact, "it would be lost", f"give another folder, or {ways}"))


def require_what_to_begin(folder: Path, given: Mapping[str, Any]) -> None:
    """Where there is no run to resume: make sure that the flags say what another is to be.

    Raises:
        UsageError: they do not. The folder's name was mistyped, perhaps.
    """
    if set(given) <= FREE:
        cause = "no run is there, and no flag says what to begin"
        cure = "give the folder of a run, or the flags of a new one"
        raise UsageError(explain(f"nothing to resume in {folder}", cause, cure))


def make_folder(config: TrainConfig) -> Path:
    """The run's folder, made if it is not there."""
    if config.out is not None:
        folder = home(config.out, "--out ")
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    kind = config.data.partition(":")[0]
    model = config.model.replace("/", "-").replace(":", "-")
    name = f"{model}-{kind}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in itertools.count(1):
        folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
        try:  # making it claims it: two runs may start in one second
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("itertools.count ends never")


@contextmanager
def new_folder(config: TrainConfig) -> Iterator[Path]:
    """The folder of a run that begins; as it was where that is refused before a checkpoint."""
    place = None if config.out is None else home(config.out, "--out ")
    new = absent(Path("runs") if place is None else place / CHECKPOINTS)
    folder = make_folder(config)
    new = [folder / CHECKPOINTS, folder, *new] if place is None else new
    with nothing_left(folder, (SETTINGS, MACHINE, LINES, TABLE), f"{CHECKPOINTS}/*.pt", new):
        yield folder


def resolved(config: TrainConfig, data: ImageData) -> TrainConfig:
    """The settings with what was left to the data or to the machine decided, and paths whole.

    So a run that is resumed elsewhere, or with less memory free, is still the same run.
    """
    augments = make_augments(config, data)
    decided: dict[str, Any] = {"in_memory": "yes" if data.in_memory else "no"}
    if config.data.partition(":")[0] not in ("folder", "hf"):
        decided = {}  # always in memory
    if config.augment:
        decided |= {"crop": augments.crop, "flip": augments.flip}
    return replace(config, **decided, **_whole_paths({"data": config.data, "init": config.init}))


def _whole_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings whose value is a path, or has one in it, from wherever they are read."""
    found = dict(values)
    kind, colon, rest = str(values.get("data") or "").partition(":")
    if kind in ("folder", "hf") and Path(rest).expanduser().exists():
        found["data"] = kind + colon + os.path.abspath(home(Path(rest), f"--data {kind}:"))
    if values.get("init") is not None:
        found["init"] = Path(os.path.abspath(home(values["init"], "--init ")))
    return found


def recorded_config(folder: Path, given: Mapping[str, Any]) -> TrainConfig:
    """The settings of the run in a folder, with those given that do not decide its result.

    Args:
        folder: has a run's settings.
        given: settings by name.

    Raises:
        UsageError: a setting that is given is not the run's.
    """
    try:
        recorded = read_settings(folder / SETTINGS)
    except UnknownSetting as error:
        began = begun_by(folder / MACHINE)
        cause = f"this release of layerdropback, {__version__}, has no such setting"
        cause += "" if began is None else f", and release {began} began the run"
        cure = "resume with the release that began it, or mend the file if it was edited"
        raise UsageError(explain(error.fact, cause, cure)) from None
    given = _whole_paths(given)
    free = {name: value for name, value in given.items() if name in FREE}
    if "data" in given and _kind(given["data"]) == _kind(recorded.get("data")):
        free["data"] = given["data"]  # moved, perhaps: the images themselves are compared later
    differing = {
        name: value
        for name, value in given.items()
        if name not in free and recorded.get(name) != value and value != "auto"
    }
    if differing:
        notes = [
            f"--{name.replace('_', '-')} is {_short(value)} here "
            f"and {_short(recorded.get(name))} there"
            for name, value in differing.items()
        ]
        fact = f"the run in {folder} has other settings: {'; '.join(notes)}"
        cause = "resuming goes on with the same run"
        cure = "leave these flags out, or give another --out"
        raise UsageError(explain(fact, cause, cure))
    return TrainConfig.from_dict(recorded | free)


def _short(value: Any) -> Any:
    return f"{value:g}" if isinstance(value, float) else value


def identity(config: TrainConfig, data: ImageData) -> dict[str, Any]:
    """What must be the same for a checkpoint to belong to a run, in plain values."""
    settings = {name: value for name, value in config.as_dict().items() if name not in FREE}
    del settings["init"]  # its weights are in the checkpoint
    images = {"training_images": data.train.fingerprint(), "test_images": data.test.fingerprint()}
    found = {"data": _kind(config.data), "classes": list(data.classes), "size": data.size}
    return settings | images | found


def _kind(data: str | None) -> str:
    """Data without its place."""
    kind, _, _ = (data or "").partition(":")
    return kind


def find_checkpoint(
    folder: Path, checkpoints: Checkpoints, identity: Mapping[str, Any], say: Callable[[str], None]
) -> Mapping[str, Any] | None:
    """The last good checkpoint of a run, said; None where none was ever saved.

    Args:
        folder: the run's.
        checkpoints: in it.
        identity: what makes the run this one.
        say: prints a line.

    Raises:
        UsageError: there is none that can be used, though there was one.
    """
    # A setting that came later had no effect before: it was what it is by default.
    usual = TrainConfig.from_dict({}).as_dict()
    later = {name: usual[name] for name in identity if name in usual}
    checkpoints.clear_partial()
    found = checkpoints.load(lambda state: difference(identity, later | state["run"]))
    if found is None:
        _require_nothing_lost(folder, checkpoints)
        say("no checkpoint was saved before the stop: from the beginning")
        return None
    state, path, problems = found
    for problem in problems:
        say(f"checkpoint {problem}: set aside, going back to {path.name}")
    if state["version"] != __version__:
        say(f"checkpoint {path.name}: {writer(state['version'])}")
    return {**state, "path": path}


def history_of(found: Mapping[str, Any]) -> list[EpochMetrics]:
    """The metrics of a checkpoint's epochs.

    Raises:
        UsageError: they are not what this release has.
    """
    try:
        return [EpochMetrics(**row) for row in found["history"]]
    except TypeError as error:
        problem = f"its epochs have other metrics ({reason(error)})"
        raise cannot_use(found["path"], problem, found["version"]) from None


def _require_nothing_lost(folder: Path, checkpoints: Checkpoints) -> None:
    unknown = checkpoints.unknown()
    if unknown:
        problem = "its name is none that this release gives"
        raise cannot_use(unknown[-1], problem, begun_by(folder / MACHINE))
    if (folder / LINES).exists() and (folder / LINES).stat().st_size:
        fact = f"{folder} has metrics of finished epochs, but no checkpoint"
        cause = f"{checkpoints.folder} was emptied or lost"
        cure = "put the checkpoints back, or begin again with --overwrite"
        raise UsageError(explain(fact, cause, cure))


def write_records(folder: Path, config: TrainConfig, facts: Mapping[str, Any]) -> None:
    """Write the settings, to be loaded again, and what the run's numbers depend on beside them."""
    command = command_line()
    text = json.dumps({"command": command, **facts}, indent=2) + "\n"

    def write(path: Path) -> None:
        path.write_text(text)

    replace_atomically(folder / MACHINE, write)
    # Last, because a folder that has settings is a run that can be resumed.
    replace_atomically(folder / SETTINGS, lambda path: write_settings(config, path))


def changed_machine(folder: Path, facts: Mapping[str, Any]) -> str:
    """Name what has changed since the run began that its bits depend on; empty where nothing."""
    try:
        before = of_json((folder / MACHINE).read_text())
    except (OSError, ValueError):
        return ""
    before = before if isinstance(before, dict) else {}
    unknown = "not told"
    notes = [
        f"{name} was {before[part].get(name, unknown)} and is {facts[part].get(name, unknown)}"
        for part in ("versions", "hardware")
        if isinstance(before.get(part), dict)
        for name in {**before[part], **facts[part]}
        if before[part].get(name) != facts[part].get(name)
    ]
    return f"no longer bit for bit the unbroken run: {'; '.join(notes)}" if notes else ""
