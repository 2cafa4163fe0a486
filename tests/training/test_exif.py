"""Pictures whose EXIF is damaged are read as PIL decodes them, the right way up where it tells."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from layerdropback import UsageError
from layerdropback.training.images.data import load_data
from layerdropback.training.images.decoding import decode

# What PIL warns of is no concern of these tests; `ldb` does not show it.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

PIXELS = np.random.default_rng(0).integers(0, 255, (16, 12, 3), dtype=np.uint8)
TURNED = (0x0112, 3, 1, struct.pack("<H", 6))
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def block(*entries, extra=b""):
    """A little-endian TIFF block with one directory of (tag, type, count, value)."""
    body = struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")[:4]
    return b"II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", 0) + extra


def segment(data):
    return b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data


def jpeg(*segments, **options):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", **options)
    data = file.getvalue()
    return data[:2] + b"".join(map(segment, segments)) + data[2:]


def other(kind, exif):
    """A file of another kind; both hold what they are given, whatever it is."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, exif=exif, lossless=True)
    return file.getvalue()


def turns(data):
    """How often the picture was turned to the right."""
    plain = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    found = np.array(decode(io.BytesIO(data), "the file"))
    same = [n for n in range(4) if np.array_equal(found, np.rot90(plain, -n))]
    assert len(same) == 1
    return same[0]


RATIONAL = struct.pack("<ii", -1, 0)
BLOCKS = {
    "no header": (b"garbage, no header at all", 0),
    "empty": (b"", 0),
    "two bytes": (b"II", 0),
    "cut short": (block(TURNED, (0x010F, 2, 60, struct.pack("<I", 4000)))[:20], 0),
    "cut after the orientation": (block(TURNED, (0x010F, 2, 60, b""))[:26], 1),
    "pointer to nowhere": (block(TURNED, (0x8769, 4, 1, struct.pack("<I", 60000))), 1),
    "a text as a pointer": (block(TURNED, (0x8825, 2, 3, b"abc")), 1),
    "a text as a number": (block(TURNED, (0x011A, 2, 4, b"abc\0")), 1),
    "over zero": (block(TURNED, (0x011A, 10, 1, struct.pack("<I", 38)), extra=RATIONAL), 1),
    "an unknown type": (block(TURNED, (0x010F, 99, 1, b"")), 1),
    "two orientations": (block((0x0112, 3, 2, struct.pack("<HH", 6, 6))), 1),
    "orientation 9": (block((0x0112, 3, 1, struct.pack("<H", 9))), 0),
    "orientation as a text": (block((0x0112, 2, 2, b"x\0")), 0),
    "whole": (block(TURNED), 1),
}


@pytest.mark.parametrize(("data", "expected"), BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("options", [{}, {"dpi": (72, 72)}], ids=["", "dpi"])
def test_jpeg(data, expected, options):
    assert turns(jpeg(b"Exif\0\0" + data, **options)) == expected


@pytest.mark.parametrize(("data", "expected"), BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_png_and_webp(kind, data, expected):
    if kind == "PNG" and not data:
        pytest.skip("no chunk is written")
    assert turns(other(kind, b"Exif\0\0" + data)) == expected


def test_a_png_with_the_block_as_text(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    for text, expected in (("\nexif\n  4\nno hex", 0), ("", 0)):
        info, file = PngInfo(), io.BytesIO()
        info.add_text("Raw profile type exif", text)
        Image.fromarray(PIXELS).save(file, "PNG", pnginfo=info)
        assert turns(file.getvalue()) == expected


def test_a_tiff_with_an_odd_tag():
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x011A] = 72.0
    Image.fromarray(PIXELS).save(file, "TIFF", exif=exif)
    data = file.getvalue()
    # PIL itself turns a TIFF as it loads it.
    assert decode(io.BytesIO(data), "x").size == (16, 12)
    # The resolution, a rational, becomes a text.
    tag = struct.pack("<HH", 0x011A, 5)
    assert data.count(tag) == 1
    spoiled = data.replace(tag, struct.pack("<HH", 0x011A, 2))
    assert decode(io.BytesIO(spoiled), "x").size == (16, 12)


def test_xmp_tells_the_orientation_where_exif_does_not():
    packet = b"http://ns.adobe.com/xap/1.0/\0" + XMP
    assert turns(jpeg(packet)) == 1
    assert turns(jpeg(b"Exif\0\0garbage", packet)) == 1
    assert turns(jpeg(b"Exif\0\0garbage", packet, dpi=(72, 72))) == 1
    assert turns(jpeg(b"Exif\0\0" + block((0x0112, 3, 1, struct.pack("<H", 1))), packet)) == 0


def test_every_orientation_as_pil_turns_it():
    from PIL import ImageOps

    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = other("PNG", exif)
        expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        assert np.array_equal(np.array(decode(io.BytesIO(data), "x")), np.array(expected))


@pytest.mark.parametrize("in_memory", ["yes", "no"])
def test_a_folder_with_one_of_them(tmp_path, in_memory):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            place = tmp_path / split / name
            place.mkdir(parents=True)
            (place / "0.jpg").write_bytes(jpeg(b"Exif\0\0" + BLOCKS["a text as a number"][0]))
            (place / "1.jpg").write_bytes(jpeg(b"Exif\0\0" + b"garbage", dpi=(72, 72)))
    data = load_data(f"folder:{tmp_path}", 12, in_memory=in_memory)
    read = data.train.pixels[0] if data.in_memory else data.train.read(0)
    assert read.shape == ((3, 12, 12) if data.in_memory else (3, 12, 16))


def test_damage_of_the_picture_itself_is_still_told(tmp_path):
    with pytest.raises(UsageError, match="cannot read the image the file. Cause: "):
        decode(io.BytesIO(jpeg(b"Exif\0\0" + block(TURNED))[:-100]), "the file")
