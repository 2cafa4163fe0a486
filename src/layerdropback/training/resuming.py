"""Which checkpoint a run goes on from."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .. import __version__
from ..errors import UsageError, explain
from ..runs.checkpoint import Checkpoints
from ..runs.folder import LINES, MACHINE
from ..runs.identity import difference
from ..runs.reasons import reason
from ..runs.releases import begun_by, cannot_use, writer
from .config import TrainConfig
from .metrics import EpochMetrics

# What a run's checkpoints have.
PARTS: Mapping[str, type] = MappingProxyType(
    {"run": dict, "trainer": dict, "history": list, "export": dict}
)


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
