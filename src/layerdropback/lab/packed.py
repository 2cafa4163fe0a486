"""Records as files: JSON, compressed where the name ends in ``.gz``."""

import gzip
import io
import json
import zlib
from pathlib import Path
from typing import Any

# A comparison in its folder, and the same in less room.
RECORD, SUFFIX = "comparison.json", ".gz"
PACKED = RECORD + SUFFIX


def pack(values: Any) -> bytes:
    """Compact JSON, compressed.

    The same values give the same bytes: neither a time nor a name is in them, nor the system, which
    `gzip.compress` writes.

    Args:
        values: what JSON can hold.

    Example:
        >>> pack({"n": 3}) == pack({"n": 3})
        True
    """
    text = json.dumps(values, separators=(",", ":")) + "\n"
    whole = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=whole, mtime=0) as file:
        file.write(text.encode())
    return whole.getvalue()


def text_of(path: Path) -> str:
    """The text of a file, plain or compressed.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no text, or not compressed as its name has it.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.json.gz")
        ...     written = path.write_bytes(pack([1, 2]))
        ...     text_of(path).strip()
        '[1,2]'
    """
    raw = path.read_bytes()
    if path.suffix == SUFFIX:
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"it is not compressed with gzip ({error})") from None
    return raw.decode("utf-8")
