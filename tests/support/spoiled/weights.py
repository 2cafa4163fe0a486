"""Files of weights that are damaged, of something else, or say something wrong of themselves."""

import json
import pickle
import shutil
import struct

import torch
from safetensors.torch import save_file

from spoiled.folder import Evil


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def make_weights(folder, run):
    """Files of weights, made from a finished run's."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    folder.mkdir()
    good = run / "weights.safetensors"
    shutil.copy(good, folder / "good.safetensors")
    weights = load_file(good)
    with safe_open(good, framework="pt") as file:
        notes = json.loads(file.metadata()["layerdropback"])

    def put(name, changed=None, **changes):
        told = notes | changes
        told = {name: value for name, value in told.items() if value is not ...}
        metadata = {"format": "pt", "layerdropback": json.dumps(told)}
        save_file(weights if changed is None else changed, folder / name, metadata)

    raw = good.read_bytes()
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "text.safetensors").write_text("these are no weights, are they?\n")
    (folder / "cut.safetensors").write_bytes(raw[: len(raw) // 2])
    (folder / "short.safetensors").write_bytes(raw[:6])
    (folder / "long.safetensors").write_bytes(raw + b"\0" * 8)
    (folder / "huge.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    (folder / "list.safetensors").write_bytes(safetensors(b"[1, 2, 3]"))
    (folder / "deep.safetensors").write_bytes(safetensors(b"[" * 5000))
    (folder / "type.safetensors").write_bytes(
        safetensors({"a": {"dtype": "F3", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4)
    )
    (folder / "offsets.safetensors").write_bytes(
        safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]}}, b"\0" * 4)
    )
    (folder / "float4.safetensors").write_bytes(
        safetensors({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, b"\0")
    )
    (folder / "float8.safetensors").write_bytes(
        safetensors({"a": {"dtype": "F8_E8M0", "shape": [2], "data_offsets": [0, 2]}}, b"\0\0")
    )
    save_file(weights, folder / "foreign.safetensors")
    save_file(weights, folder / "note.safetensors", {"layerdropback": "no JSON"})
    save_file(weights, folder / "note-list.safetensors", {"layerdropback": "[1]"})
    save_file(weights, folder / "note-deep.safetensors", {"layerdropback": "[" * 100_000})
    torch.save(weights, folder / "weights.pt")
    (folder / "evil.pt").write_bytes(pickle.dumps(Evil(folder / "pwned")))
    torch.save({"a": Evil(folder / "pwned")}, folder / "evil.safetensors")
    head = next(reversed(weights))
    put("nan.safetensors", weights | {head: torch.full_like(weights[head], torch.nan)})
    put("few.safetensors", dict(list(weights.items())[4:]))
    put("more.safetensors", weights | {"extra.weight": torch.ones(2)})
    put("shape.safetensors", weights | {"conv1.weight": torch.ones(3, 3)})
    put("whole-numbers.safetensors", {name: value.long() for name, value in weights.items()})
    put("no-spec.safetensors", spec=...)
    put("spec-word.safetensors", spec="test_resnet")
    put("spec-less.safetensors", spec={"name": "test_resnet"})
    for name, value in {
        "name": 5, "classes": "ten", "channels": -1, "image_size": 0, "args": [1], "small_stem": 3
    }.items():  # fmt: skip
        put(f"spec-{name}.safetensors", spec=notes["spec"] | {name: value})
    put("spec-model.safetensors", spec=notes["spec"] | {"name": "zzzz"})
    put("spec-other.safetensors", spec=notes["spec"] | {"name": "test_vit"})
    put("spec-args.safetensors", spec=notes["spec"] | {"args": {"no_such_argument": 1}})
    put("no-classes.safetensors", classes=...)
    put("classes-number.safetensors", classes=10)
    put("classes-other.safetensors", classes=["a", "b"])
    put("no-mean.safetensors", mean=...)
    put("mean-word.safetensors", mean="grey")
    put("mean-empty.safetensors", mean=[])
    put("std-zero.safetensors", std=[0.0])
    put("crop.safetensors", crop_pct=7)
    put("data-number.safetensors", data=3)
    put("data-lost.safetensors", data={"data": "folder:/no/such/folder"})
    put("data-kind.safetensors", data={"data": 3})
    put("no-data.safetensors", data=...)
    put("version.safetensors", version=...)
