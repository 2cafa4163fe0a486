"""What a comparison keeps on the disk: its record, and the runs that are under way."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError, explain
from ..runs.checkpoint import Checkpoints, difference
from ..runs.folder import CHECKPOINTS
from .packed import PACKED, RECORD
from .record import Record, file_of

# Seconds between two savings of runs that are under way.
SAVE_EVERY = 60.0


class Storing:
    """A comparison's record and its runs under way, on the disk."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._checkpoints = Checkpoints(
            folder / CHECKPOINTS, 1, "comparison", parts={"record": str, "players": dict}
        )
        self._at, self._number, self._stale = time.monotonic(), 0, False

    @property
    def is_due(self) -> bool:
        """Whether the last time was long ago."""
        return time.monotonic() - self._at > SAVE_EVERY

    def begin_anew(self) -> None:
        """Let what is saved first replace what an earlier comparison left; until then it stays."""
        self._stale = True

    def save(self, record: Record, players: Mapping[str, Any]) -> None:
        """Write both.

        Raises:
            UsageError: they cannot be written; what was saved last stays.
        """
        try:
            self._write(record, players)
        except OSError as error:
            cure = (
                "see that the folder is there and has room; --resume goes on from the last good one"
            )
            fact = f"cannot save the comparison in {self._folder}"
            raise UsageError(explain(fact, error.strerror or str(error), cure)) from None

    def _write(self, record: Record, players: Mapping[str, Any]) -> None:
        if self._stale:
            self._checkpoints.clear()
            for name in (RECORD, PACKED):
                (self._folder / name).unlink(missing_ok=True)
            self._stale = False
        self._number += 1
        state = {"record": record.as_text(), "players": players}
        self._checkpoints.save(state, self._number)
        record.write(self._folder)
        self._at = time.monotonic()

    def end(self) -> None:
        """All runs are done: the record is enough."""
        self._checkpoints.clear()

    def found(
        self, identity: Mapping[str, Any]
    ) -> tuple[Record | None, Mapping[str, Any], list[str]]:
        """The record and the runs under way that belong to `identity`, and what was of no use.

        Raises:
            UsageError: another comparison is there.
        """

        def refuse(state: Mapping[str, Any]) -> str | None:
            try:
                return difference(identity, Record.from_text(state["record"]).identity)
            except ValueError as error:
                return f"is of no use: {error}"

        self._checkpoints.clear_partial()
        found = self._checkpoints.load(refuse)
        if found is not None:
            state, _, problems = found
            self._number = state["step"]
            return Record.from_text(state["record"]), state["players"], problems
        if not (path := file_of(self._folder)).exists():
            return None, {}, []
        record = Record.read(self._folder)
        refused = difference(identity, record.identity)
        if refused is not None:
            fact, cause = f"{path} {refused}", "one record cannot hold both"
            cure = "leave the flags out that differ, or give another --out"
            raise UsageError(explain(fact, cause, cure))
        return record, {}, []
