"""A run's numbers, epoch by epoch, on the disk."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from ..errors import UsageError, explain
from ..runs.atomic import replace_atomically
from ..runs.folder import BOARD, LINES, TABLE, flat
from ..runs.reasons import reason


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
        self._board: Any = None
        # Of all rows: some numbers are not there in each.
        self._columns = list(dict.fromkeys(name for row in history for name in flat(row)))
        lines = "".join(map(_line, history))
        with self._told():
            replace_atomically(folder / LINES, lambda file: _append(file, lines))
            replace_atomically(folder / TABLE, lambda file: self._append_rows(file, history))
            self._board = _board(folder / BOARD, history) if tensorboard else None

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
        with self._told():
            _append(self._folder / LINES, line)
            self._append_rows(self._folder / TABLE, [metrics])
            if self._board is not None:
                _show(self._board, metrics)
                self._board.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        if self._board is not None:
            self._board.close()

    def _append_rows(self, file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        text = io.StringIO()
        self._columns = self._columns or [name for row in rows for name in flat(row)]
        writer = csv.DictWriter(text, self._columns, extrasaction="ignore", lineterminator="\n")
        if rows and file.stat().st_size == 0:
            writer.writeheader()
        writer.writerows(map(flat, rows))
        _append(file, text.getvalue())

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            fact = f"cannot write the metrics in {self._folder}"
            cure = "make room, then go on with --resume"
            raise UsageError(explain(fact, reason(error), cure)) from None


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


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text)


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
