"""Which checkpoint a run goes on from, and what of it this release can use."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import UsageError, explain, name_some
from ..runs.checkpoint import Checkpoints
from ..runs.folder import LINES, MACHINE
from ..runs.identity import difference
from ..runs.reasons import reason
from ..runs.releases import OtherRelease, begun_by, cannot_use, writer
from .config import TrainConfig
from .metrics import EpochMetrics

_PARTS = {"run": Mapping, "trainer": Mapping, "history": list, "export": Mapping}
# Of the trainer's state; what is not needed has a default, or belongs to some runs alone.
_NEEDED = (
    *("model", "optimizer", "ldb", "steps", "parts_of_large", "so_far", "generators"),
    *("mean", "std"),
)
_KNOWN = {*_NEEDED, "ema", "scaler", "other_generators", "interpolation", "crop_pct"}


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
    checkpoints.clear_partial()
    began = begun_by(folder / MACHINE)
    found = checkpoints.load(lambda state: _refuse(identity, state), began)
    if found is None:
        _require_nothing_lost(folder, checkpoints, began)
        say("no checkpoint was saved before the stop: from the beginning")
        return None
    state, path, problems = found
    for problem in problems:
        say(f"checkpoint {problem}: set aside, going back to {path.name}")
    release = state.get("version", began)
    unknown = sorted(set(map(str, state["trainer"])) - _KNOWN)
    if unknown or release not in (None, __version__):
        left = f", and goes on without its part {name_some(unknown)}" if unknown else ""
        say(f"checkpoint {path.name}: {writer(release)}{left}")
    return {**state, "path": path, "version": release}


def history_of(state: Mapping[str, Any]) -> list[EpochMetrics]:
    """The metrics of the epochs before a checkpoint.

    Example:
        >>> [metrics.epoch for metrics in history_of({"history": [{"epoch": 1}, {}]})]
        [1, 2]
    """
    return [EpochMetrics.from_dict(row, n) for n, row in enumerate(state["history"], start=1)]


def misfit(state: Mapping[str, Any], error: UsageError) -> UsageError:
    """What a trainer says of a state, with the release that wrote it where that is another one."""
    if state["version"] == __version__:
        return error
    cause = str(error).partition(". Cause: ")[2].rpartition(". Cure: ")[0]
    return cannot_use(state["path"], cause or reason(error), state["version"])


def _refuse(here: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
    """Why a state does not belong to the run; None where it does.

    Raises:
        OtherRelease: that cannot be told.
    """
    for name, kind in _PARTS.items():
        if not isinstance(state[name], kind):
            raise OtherRelease(f"its part {name!r} is a {type(state[name]).__name__}")
    if not all(isinstance(row, Mapping) for row in state["history"]):
        raise OtherRelease("its metrics are no tables")
    there = state["run"]
    usual = TrainConfig.from_dict({}).as_dict()
    new = {name: value for name, value in here.items() if name not in there}
    if any(name not in usual or usual[name] != value for name, value in new.items()):
        raise OtherRelease(f"it does not tell the run's {name_some(sorted(new))}")
    unknown = sorted(set(there) - set(here))
    if unknown:
        raise OtherRelease(f"its run has the settings {name_some(unknown)}, unknown here")
    problem = difference(here, {**new, **there})
    if problem is None:
        for name in _NEEDED:
            state["trainer"][name]
    return problem


def _require_nothing_lost(folder: Path, checkpoints: Checkpoints, began: str | None) -> None:
    unknown = checkpoints.unknown()
    if unknown:
        raise cannot_use(unknown[-1], "its name is none that this release gives", began)
    if (folder / LINES).exists() and (folder / LINES).stat().st_size:
        fact = f"{folder} has metrics of finished epochs, but no checkpoint"
        cause = f"{checkpoints.folder} was emptied or lost"
        cure = "put the checkpoints back, or begin again with --overwrite"
        raise UsageError(explain(fact, cause, cure))
