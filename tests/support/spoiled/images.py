"""Folders of images of which some, or all, cannot be used."""

import shutil
import struct
import zlib

import numpy as np
from PIL import Image

from folders import make_folder


def png(width, height, bits=8):
    """The head of a PNG of such a size, and nothing else."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 16)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def picture(place, name, content):
    """Images of two classes, the last of which is this."""
    root = make_folder(place / name)
    (root / "train" / "dog" / "9.png").write_bytes(content)


def make_images(folder):
    folder.mkdir()
    make_folder(folder / "good")
    (folder / "empty").mkdir()
    (folder / "flat").mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8)).save(folder / "flat" / f"{number}.png")
    shutil.copytree(folder / "good" / "train", folder / "no-test" / "train")
    shutil.copytree(folder / "good" / "test", folder / "no-train" / "test")
    make_folder(folder / "one-class", classes=("cat",))
    shutil.rmtree(make_folder(folder / "lost-class") / "test" / "dog")
    shutil.rmtree(make_folder(folder / "new-class") / "train" / "dog")
    (folder / "new-class" / "train" / "bird").mkdir()
    shutil.copy(folder / "good/train/cat/0.png", folder / "new-class" / "train" / "bird" / "0.png")
    (make_folder(folder / "empty-class") / "train" / "bird").mkdir()
    (make_folder(folder / "renamed") / "test" / "dog").rename(folder / "renamed/test/Dog")
    (folder / "files").mkdir()
    (folder / "files" / "train").write_text("no folder\n")
    (folder / "no-folders" / "train").mkdir(parents=True)
    (folder / "no-folders" / "test").mkdir()
    notes = make_folder(folder / "notes", train=0)
    for name in ("cat", "dog"):
        (notes / "train" / name / "notes.txt").write_text("no image\n")
    picture(folder, "zero-bytes", b"")
    whole = (folder / "good/train/dog/0.png").read_bytes()
    picture(folder, "truncated", whole[: len(whole) // 2])
    picture(folder, "text", b"no image at all\n")
    picture(folder, "html", b"<!doctype html><title>404</title>\n")
    picture(folder, "bomb", png(60_000, 60_000))
    picture(folder, "svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>')
    make_folder(folder / "wide", size=(8, 6))
    make_folder(folder / "large", size=(80, 80))
    Image.new("RGB", (9, 9)).save(make_folder(folder / "mixed") / "train" / "dog" / "9.png")
    deep = np.zeros((8, 8), dtype=np.uint16)
    Image.fromarray(deep).save(make_folder(folder / "deep") / "train" / "dog" / "9.png")
    root = make_folder(folder / "link")
    (root / "train" / "dog" / "9.png").symlink_to("nowhere.png")
    apart = make_folder(folder / "unicode", classes=("caf\u00e9", "tea"))
    shutil.copytree(apart / "train" / "tea", apart / "train" / "cafe\u0301")
    make_folder(folder / "line\nbreak", classes=("only",))
    make_folder(folder / "no images", classes=("cat", "dog"), test=0)
