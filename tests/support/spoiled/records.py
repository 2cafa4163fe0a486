"""Records of comparisons that are damaged, or say what makes no sense."""

import gzip
import json


def make_records(folder, whole):
    """Records of comparisons, made from the text of a good one."""
    folder.mkdir()
    values = json.loads(whole)

    def each(**changes):
        return [row | changes for row in values["epochs"]]

    put = {
        "empty": "",
        "words": "no record",
        "list": "[]",
        "null": "null",
        "number": "3",
        "deep": "[" * 100_000,
        "format": json.dumps(values | {"format": 99}),
        "no-format": json.dumps({k: v for k, v in values.items() if k != "format"}),
        "unknown": json.dumps(values | {"colour": "red"}),
        "less": json.dumps({k: v for k, v in values.items() if k != "arms"}),
        "arms-number": json.dumps(values | {"arms": 3}),
        "arms-empty": json.dumps(values | {"arms": []}),
        "arms-less": json.dumps(values | {"arms": [{"name": "plain"}]}),
        "arms-words": json.dumps(values | {"arms": ["plain"]}),
        "epochs-number": json.dumps(values | {"epochs": 3}),
        "epochs-less": json.dumps(values | {"epochs": [{"arm": "plain"}]}),
        "epochs-empty": json.dumps(values | {"epochs": []}),
        "epochs-kinds": json.dumps(values | {"epochs": each(seconds="x")}),
        "epochs-nan": json.dumps(values | {"epochs": each(test_accuracy=float("nan"))}),
        "seeds-number": json.dumps(values | {"seeds": 3}),
        "seeds-words": json.dumps(values | {"seeds": ["a"]}),
        "data-list": json.dumps(values | {"data": []}),
        "data-zero": json.dumps(values | {"data": values["data"] | {"test": 0}}),
        "facts-list": json.dumps(values | {"facts": []}),
        "facts-parts": json.dumps(values | {"facts": {"hardware": 3}}),
        "margin-word": json.dumps(values | {"margin": "much"}),
        "pilot-list": json.dumps(values | {"pilot": []}),
        "pilot-parts": json.dumps(values | {"pilot": {"plain": 3}}),
        "settings-list": json.dumps(values | {"settings": []}),
        "dropped-list": json.dumps(values | {"dropped": []}),
        "dropped-kinds": json.dumps(values | {"dropped": {"half 0": {"a": "x"}}}),
        "trials": json.dumps(values | {"trials": [3]}),
        "kind": json.dumps(values | {"kind": "duel"}),
        "command": json.dumps(values | {"command": 3}),
        "identity": json.dumps(values | {"identity": 3}),
        "tuned": json.dumps(values | {"tuned": 3}),
        "left-out": json.dumps(values | {"left_out": 3}),
        "target": json.dumps(values | {"target": "high"}),
        "held-out": json.dumps(values | {"held_out": "few"}),
    }  # fmt: skip
    for name, text in put.items():
        (folder / name).mkdir()
        (folder / name / "comparison.json").write_text(text)
    (folder / "not-packed.json.gz").write_text(whole)
    (folder / "cut.json.gz").write_bytes(gzip.compress(whole.encode())[:40])
    (folder / "latin.json").write_bytes(b'{"a": "\xe9"}')
    (folder / "a-folder.json").mkdir()
    (folder / "good").mkdir()
    (folder / "good" / "comparison.json").write_text(whole)
