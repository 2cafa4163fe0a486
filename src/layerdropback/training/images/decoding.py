"""Image files into pictures, the right way up; damage beside the pixels stops nothing."""

import logging
import warnings
from contextlib import suppress
from typing import BinaryIO

from PIL import ExifTags, Image, ImageOps

from ...errors import UsageError, explain
from ...runs.reasons import reason
from .unreadable import Unreadable

# What PIL says of damaged EXIF names no file, and comes anew for every picture and worker.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.(Tiff|Jpeg)ImagePlugin")
# What it logs of a damaged file, its error says as well; without a handler Python would print it.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def decode(source: str | BinaryIO, name: str) -> Image.Image:
    """Decode an image to RGB, turned as its EXIF says where that can be read.

    Args:
        source: the file, by path or opened.
        name: what to call it in an error.

    Raises:
        Unreadable: it cannot be decoded.
        UsageError: it has more than 8 bits a channel.

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
            colour = image.convert("RGB")
            _turn(colour, image)
    except Exception as error:  # a broken file may raise anything, SyntaxError included
        raise Unreadable(name, reason(error)) from None
    if deep:  # converting has cut its values off
        fact = f"{name} has more than 8 bits a channel"
        raise UsageError(explain(fact, "images are held as bytes", "convert it to 8 bits"))
    return colour


def _turn(colour: Image.Image, image: Image.Image) -> None:
    """Turn a picture by its file's EXIF, else by XMP; not at all where neither can be read.

    PIL's `exif_transpose` alone would write the file's whole block anew, which any damaged tag may
    prevent. So it gets a picture that has nothing but its orientation.
    """
    found = None
    for _ in range(2):  # after an error PIL still has what it had read until then
        with suppress(Exception):  # of any kind: struct's, SyntaxError, ValueError
            found = image.getexif().get(ExifTags.Base.Orientation)
            break
    packets = ("XML:com.adobe.xmp", "xmp")
    colour.info = {key: image.info[key] for key in packets if key in image.info}
    with suppress(Exception):
        colour.getexif()  # of XMP alone
    if found is not None:
        colour.getexif()[ExifTags.Base.Orientation] = found
    colour.info = {}
    ImageOps.exif_transpose(colour, in_place=True)
