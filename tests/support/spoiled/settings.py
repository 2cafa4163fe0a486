"""Files of settings that cannot be used, by name."""

import gzip

SETTINGS = {
    "typo.yaml": "epoch: 3\n",
    "typo.toml": "epochz = 3\n",
    "typo.json": '{"drop_rat": 0.3}',
    "far.yaml": "zzz: 3\n",
    "twice.yaml": "lr: 0.1\nlr: 0.2\n",
    "twice-dashed.yaml": "drop-rate: 0.1\ndrop_rate: 0.2\n",
    "twice.toml": "lr = 0.1\nlr = 0.2\n",
    "list.yaml": "- epochs\n- 3\n",
    "word.yaml": "epochs 3\n",
    "number.yaml": "3\n",
    "tab.yaml": "model:\n\tresnet18\n",
    "open.yaml": "keep: [a, b\n",
    "quote.yaml": "model: 'resnet18\n",
    "anchor.yaml": "lr: *nowhere\n",
    "colon.yaml": "model: a: b\n",
    "object.yaml": "model: !!python/object/apply:os.system ['touch pwned']\n",
    "bool.yaml": "augment: !!bool maybe\n",
    "int.yaml": "epochs: !!int ''\n",
    "float.yaml": "lr: !!float ''\n",
    "date.yaml": "lr: !!timestamp soon\n",
    "date2.yaml": "lr: 2001-13-45\n",
    "map.yaml": "lr: !!map 3\n",
    "deep.yaml": "keep: " + "[" * 3000 + "\n",
    "deep.toml": "keep = " + "[" * 3000 + "\n",
    "digits.yaml": "epochs: " + "9" * 5000 + "\n",
    "digits.toml": "epochs = " + "9" * 5000 + "\n",
    "nan.yaml": "epochs: .nan\n",
    "inf.yaml": "epochs: .inf\n",
    "inf.toml": "lr = inf\n",
    "half.yaml": "batch_size: 1.5\n",
    "words.yaml": "batch_size: many\n",
    "none.yaml": "epochs: null\n",
    "true.yaml": "epochs: true\n",
    "maps.yaml": "lr: {a: 1}\n",
    "lists.yaml": "lr: [0.1, 0.2]\n",
    "list-model.yaml": "model: [resnet18]\n",
    "bool-model.yaml": "model: yes\n",
    "number-model.yaml": "model: 18\n",
    "word-bool.yaml": "pretrained: maybe\n",
    "number-bool.yaml": "pretrained: 1\n",
    "keep-number.yaml": "keep: 5\n",
    "keep-null.yaml": "keep: [null]\n",
    "milestones.yaml": "milestones: [a]\n",
    "binary.yaml": "model: !!binary aGVsbG8=\n",
    "date-lr.yaml": "lr: 2001-01-01\n",
    "out.yaml": "out: somewhere\n",
    "resume.yaml": "resume: true\n",
    "recipe.yaml": "recipe: nothing\n",
    "recipe-list.yaml": "recipe: [modern]\n",
    "recipe-number.yaml": "recipe: 3\n",
    "table.toml": "[train]\nepochs = 3\n",
    "value.toml": "epochs = \n",
    "none.toml": "epochs = none\n",
    "comma.json": '{"epochs": 3,}',
    "open.json": '{"epochs": 3',
    "string.json": '"epochs"',
    "null-key.yaml": "null: 3\n",
    "list-key.yaml": "? [a]\n: 3\n",
    "merge.yaml": "<<: 3\n",
    "control.yaml": "model: a\x07b\n",
    "nul-init.yaml": 'init: "a\\0b"\n',
    "nul-data.yaml": 'data: "folder:a\\0b"\n',
    "nul-dir.yaml": 'data_dir: "a\\0b"\ndata: cifar10\n',
    "surrogate.yaml": 'model: "\\ud800"\n',
    "strategy.yaml": "strategy: truncated\n",
    "conflict.yaml": "strategy: control\ndrop_rate: 0.5\n",
    "depth.yaml": "depth: fixed\n",
    "rate.yaml": "drop_rate: 1\n",
    "precision.yaml": "precision: fp8\n",
    "negative.yaml": "seed: -3\n",
    "two.yaml": "epochs: 3\n---\nepochs: 4\n",
}


def make_settings(folder):
    folder.mkdir()
    for name, text in SETTINGS.items():
        (folder / name).write_text(text)
    (folder / "latin.yaml").write_bytes("model: caf\u00e9\n".encode("latin-1"))
    (folder / "wide.yaml").write_bytes("epochs: 3\n".encode("utf-16"))
    (folder / "zeros.yaml").write_bytes(bytes(100))
    (folder / "packed.yaml").write_bytes(gzip.compress(b"epochs: 3\n"))
    (folder / "a-folder.yaml").mkdir()
