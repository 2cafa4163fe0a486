"""A run's numbers, epoch by epoch, on the disk."""

import csv
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from ..errors import UsageError, explain
from ..runs.atomic import replace_atomically
from ..runs.folder import LINES, TABLE, flat
from ..runs.reasons import reason

BOARD = "tensorboard"


class Journal:
    """Writes each epoch's metrics to ``metrics.jsonl``, ``metrics.csv`` and, if asked, TensorBoard.

    The table's columns are those of `history`, or else of its first row; a value that is None is an
    empty cell.

    Args:
        folder: the run's.
        history: metrics of the epochs so far, in plain values; the files hold exactly these
            afterwards, whatever was in them.
        tensorboard: whether to write event files to ``tensorboard/``. Of those that are there,
            later epochs than `history`'s are marked as void.

    Raises:
        UsageError: a file cannot be written, or TensorBoard is not installed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with Journal(Path(folder), [], tensorboard=False) as journal:
        ...         journal.add({"epoch": 1, "phases": {"data": 0.5}})
        ...     Path(folder, TABLE).read_text().split()
        ['epoch,seconds_data', '1,0.5']
    """

    def __init__(self, folder: Path, history: Sequence[Mapping[str, Any]], tensorboard: bool):
        if tensorboard:
            require_tensorboard()
        self._folder = folder
        # Of all rows: some numbers are not there in each.
        self._columns = list(dict.fromkeys(name for row in history for name in flat(row)))
        lines = "".join(map(_line, history))
        with ExitStack() as files:
            try:
                replace_atomically(folder / LINES, lambda file: _put(file, lines))
                replace_atomically(folder / TABLE, lambda file: self._put_table(file, history))
                self._lines = files.enter_context((folder / LINES).open("a", encoding="utf-8"))
                self._table = files.enter_context(
                    (folder / TABLE).open("a", encoding="utf-8", newline="")
                )
                self._board = _board(folder / BOARD, history) if tensorboard else None
            except OSError as error:
                raise self._cannot_write(error) from None
            self._files = files.pop_all()

    def add(self, metrics: Mapping[str, Any]) -> None:
        """Write one more epoch, at once.

        Args:
            metrics: plain values; those of a mapping under ``"phases"`` become columns
                ``seconds_...``, and of any other ``NAME_...``.

        Raises:
            UsageError: the disk is full, say.
            ValueError: a number is not finite.
        """
        line = _line(metrics)
        try:
            self._lines.write(line)
            self._lines.flush()
            if not self._columns:
                self._columns = list(flat(metrics))
                self._writer(self._table).writeheader()
            self._writer(self._table).writerow(flat(metrics))
            self._table.flush()
            if self._board is not None:
                _show(self._board, metrics)
                self._board.flush()
        except OSError as error:
            raise self._cannot_write(error) from None

    def close(self) -> None:
        """Close the files; nothing can be added any more."""
        with suppress(OSError):  # `add` has told already what could not be written
            self._files.close()
        if self._board is not None:
            self._board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _writer(self, file: IO[str]) -> "csv.DictWriter[str]":
        return csv.DictWriter(file, self._columns, extrasaction="ignore", lineterminator="\n")

    def _put_table(self, file: Path, history: Sequence[Mapping[str, Any]]) -> None:
        with file.open("w", encoding="utf-8", newline="") as table:
            if history:
                writer = self._writer(table)
                writer.writeheader()
                writer.writerows(map(flat, history))

    def _cannot_write(self, error: OSError) -> UsageError:
        fact = f"cannot write the metrics in {self._folder}"
        return UsageError(explain(fact, reason(error), "make room, then go on with --resume"))


def require_tensorboard() -> None:
    """Look whether event files can be written.

    Raises:
        UsageError: the package is missing.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        cause, cure = reason(error), "pip install tensorboard, or leave the flag out"
        raise UsageError(explain("--tensorboard is not usable", cause, cure)) from None


def _line(metrics: Mapping[str, Any]) -> str:
    return json.dumps(metrics, allow_nan=False) + "\n"


def _put(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def _board(folder: Path, history: Sequence[Mapping[str, Any]]) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    known = any(folder.glob("events.out.tfevents.*"))
    void = history[-1]["epoch"] + 1 if history else 1
    board = SummaryWriter(str(folder), purge_step=void if known else None)
    for metrics in [] if known else history:  # the run began without the flag
        _show(board, metrics)
    board.flush()
    return board


def _show(board: Any, metrics: Mapping[str, Any]) -> None:
    for name, value in flat(metrics).items():
        if isinstance(value, int | float) and name != "epoch":
            board.add_scalar(name, value, metrics["epoch"])
