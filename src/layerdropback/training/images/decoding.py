"""Image files into pictures, the right way up; damage beside the pixels stops nothing."""

import logging
import re
import warnings
from typing import BinaryIO

from PIL import ExifTags, Image

from ...errors import UsageError, explain
from ...runs.reasons import reason

# What PIL says of damaged EXIF names no file, and comes anew for every picture and worker.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.(Tiff|Jpeg)ImagePlugin")
# What it logs of a damaged file, its error says as well; without a handler Python would print it.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def decode(source: str | BinaryIO, name: str) -> Image.Image:
    """Decode an image to RGB, turned as its EXIF says where that can be read.

    Args:
        source: the file, by path or opened.
        name: what to call it in an error.

    Raises:
        UsageError: it cannot be read, or has more than 8 bits a channel.

    Example:
        >>> import io
        >>> exif, file = Image.Exif(), io.BytesIO()
        >>> exif[ExifTags.Base.Orientation] = 6
        >>> Image.new("L", (3, 2)).save(file, "png", exif=exif)
        >>> decode(file, "the file").size
        (2, 3)
    """
    try:
        with Image.open(source) as image:
            deep = image.mode.startswith(("I", "F"))
            image.load()
            turn = None if deep else _TURNS.get(_orientation(image))
            colour = image.convert("RGB")
    except Exception as error:  # a broken file may raise anything, SyntaxError included
        fact = f"cannot read the image {name}"
        cure = "replace it, or remove it before a run begins"
        raise UsageError(explain(fact, reason(error), cure)) from None
    if deep:  # converting would cut its values off
        fact = f"{name} has more than 8 bits a channel"
        raise UsageError(explain(fact, "images are held as bytes", "convert it to 8 bits"))
    return colour if turn is None else colour.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """By EXIF, else by XMP; 1, as it is, where neither can be read.

    Not PIL's `exif_transpose`: it writes the whole block anew, which any damaged tag may prevent.
    """
    for _ in range(2):  # after an error PIL still has what it had read until then
        try:
            found = image.getexif().get(ExifTags.Base.Orientation)
            if found is not None:
                return int(found) if found in _TURNS else 1
        except Exception:  # of any kind: struct's, SyntaxError, ValueError
            continue
    for key in ("XML:com.adobe.xmp", "xmp"):
        text = image.info.get(key, b"")
        match = _XMP.search(text.encode(errors="replace") if isinstance(text, str) else text)
        if match:
            return int(match[1])
    return 1
