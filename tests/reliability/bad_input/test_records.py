"""Wrong records of comparisons.

Three dots stand for anything.
"""

import pytest

NEEDS = ("records", "runs")

RECORD = "report --out new records/"
RECORD_ROWS = {
    "empty": (
        "cannot read records/empty/comparison.json. Cause: it is no comparison of ldb. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "words": (
        "cannot read records/words/comparison.json. Cause: it is no comparison of ldb. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "list": (
        "cannot read records/list/comparison.json. Cause: it is no comparison of ldb. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "null": (
        "cannot read records/null/comparison.json. Cause: it is no comparison of ldb. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "number": (
        "cannot read records/number/comparison.json. Cause: it is no comparison of ldb. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "deep": (
        "cannot read records/deep/comparison.json. Cause: it is no comparison of ldb. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "format": (
        "cannot read records/format/comparison.json. Cause: its format is 99, and this "
        "release reads 1. Cure: give the folder or the record of an ldb compare."
    ),
    "no-format": (
        "cannot read records/no-format/comparison.json. Cause: it is no comparison of ldb. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "unknown": (
        "cannot read records/unknown/comparison.json. Cause: it is no comparison of ldb. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "less": (
        "cannot read records/less/comparison.json. Cause: it has no usable 'arms'. Cure: "
        "give the folder or the record of an ldb compare."
    ),
    "arms-number": (
        "cannot read records/arms-number/comparison.json. Cause: it has no usable 'arms'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "arms-empty": (
        "cannot read records/arms-empty/comparison.json. Cause: it has no usable 'arms'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "arms-less": (
        "cannot read records/arms-less/comparison.json. Cause: it has no usable 'arms'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "arms-words": (
        "cannot read records/arms-words/comparison.json. Cause: it has no usable 'arms'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "epochs-number": (
        "cannot read records/epochs-number/comparison.json. Cause: it has no usable "
        "'epochs'. Cure: give the folder or the record of an ldb compare."
    ),
    "epochs-less": (
        "cannot read records/epochs-less/comparison.json. Cause: it has no usable "
        "'epochs'. Cure: give the folder or the record of an ldb compare."
    ),
    "epochs-empty": (
        "records/epochs-empty has no finished seed yet. Cause: the comparison was stopped. "
        "Cure: go on with --resume."
    ),
    "epochs-kinds": (
        "cannot read records/epochs-kinds/comparison.json. Cause: it has no usable "
        "'epochs'. Cure: give the folder or the record of an ldb compare."
    ),
    "epochs-nan": (
        "cannot read records/epochs-nan/comparison.json. Cause: it is no comparison of "
        "ldb. Cure: give the folder or the record of an ldb compare."
    ),
    "seeds-number": (
        "cannot read records/seeds-number/comparison.json. Cause: it has no usable "
        "'seeds'. Cure: give the folder or the record of an ldb compare."
    ),
    "seeds-words": (
        "cannot read records/seeds-words/comparison.json. Cause: it has no usable 'seeds'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "data-list": (
        "cannot read records/data-list/comparison.json. Cause: it has no usable 'data'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "data-zero": (
        "cannot read records/data-zero/comparison.json. Cause: it has no usable 'data'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "facts-list": (
        "cannot read records/facts-list/comparison.json. Cause: it has no usable 'facts'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "facts-parts": (
        "cannot read records/facts-parts/comparison.json. Cause: it has no usable 'facts'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "margin-word": (
        "cannot read records/margin-word/comparison.json. Cause: it has no usable "
        "'margin'. Cure: give the folder or the record of an ldb compare."
    ),
    "pilot-list": (
        "cannot read records/pilot-list/comparison.json. Cause: it has no usable 'pilot'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "pilot-parts": (
        "cannot read records/pilot-parts/comparison.json. Cause: it has no usable 'pilot'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "settings-list": (
        "cannot read records/settings-list/comparison.json. Cause: it has no usable "
        "'settings'. Cure: give the folder or the record of an ldb compare."
    ),
    "dropped-list": (
        "cannot read records/dropped-list/comparison.json. Cause: it has no usable "
        "'dropped'. Cure: give the folder or the record of an ldb compare."
    ),
    "dropped-kinds": (
        "cannot read records/dropped-kinds/comparison.json. Cause: it has no usable "
        "'dropped'. Cure: give the folder or the record of an ldb compare."
    ),
    "trials": (
        "cannot read records/trials/comparison.json. Cause: it has no usable 'trials'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "kind": (
        "cannot read records/kind/comparison.json. Cause: it has no usable 'kind'. Cure: "
        "give the folder or the record of an ldb compare."
    ),
    "command": (
        "cannot read records/command/comparison.json. Cause: it has no usable 'command'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "identity": (
        "cannot read records/identity/comparison.json. Cause: it has no usable 'identity'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "tuned": (
        "cannot read records/tuned/comparison.json. Cause: it has no usable 'tuned'. Cure: "
        "give the folder or the record of an ldb compare."
    ),
    "left-out": (
        "cannot read records/left-out/comparison.json. Cause: it has no usable 'left_out'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "target": (
        "cannot read records/target/comparison.json. Cause: it has no usable 'target'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "held-out": (
        "cannot read records/held-out/comparison.json. Cause: it has no usable 'held_out'. "
        "Cure: give the folder or the record of an ldb compare."
    ),
    "not-packed.json.gz": (
        "cannot read records/not-packed.json.gz. Cause: it is not compressed with gzip "
        "(Not a gzipped file (b'{\\n')). Cure: give the folder or the record of an ldb "
        "compare."
    ),
    "cut.json.gz": (
        "cannot read records/cut.json.gz. Cause: it is not compressed with gzip "
        "(Compressed file ended before the end-of-stream marker was reached). Cure: give "
        "the folder or the record of an ldb compare."
    ),
    "latin.json": (
        "cannot read records/latin.json. Cause: 'utf-8' codec can't decode... Cure: give "
        "the folder or the record of an ldb compare."
    ),
    "a-folder.json": (
        "records/a-folder.json holds no run. Cause: it holds neither comparison.json nor "
        "metrics.jsonl with settings.yaml. Cure: give the folder of an ldb train or ldb "
        "compare, or a record's file."
    ),
    "nowhere": (
        "records/nowhere holds no run. Cause: it holds neither comparison.json nor "
        "metrics.jsonl with settings.yaml. Cure: give the folder of an ldb train or ldb "
        "compare, or a record's file."
    ),
    "good runs/nowhere": (
        "runs/nowhere holds no run. Cause: it holds neither comparison.json nor "
        "metrics.jsonl with settings.yaml. Cure: give the folder of an ldb train or ldb "
        "compare, or a record's file."
    ),
}
PLACE = "report "
PLACE_ROWS = {
    "records/good/comparison.json": (
        "records/good/comparison.json is a file. Cause: a report goes into its run's "
        "folder. Cure: give a folder with --out."
    ),
    "records/good --out ''": (
        "--out '' is not usable. Cause: it names no place. Cure: give one, or leave the flag out."
    ),
    "''": (
        ". holds no run. Cause: it holds neither comparison.json nor metrics.jsonl with "
        "settings.yaml. Cure: give the folder of an ldb train or ldb compare, or a "
        "record's file."
    ),
    "": "Missing argument 'runs'. Cure: see ldb --help or ldb COMMAND --help.",
    "nowhere": (
        "nowhere holds no run. Cause: it holds neither comparison.json nor metrics.jsonl "
        "with settings.yaml. Cure: give the folder of an ldb train or ldb compare, or a "
        "record's file."
    ),
}
SLOW_PLACE_ROWS = {
    "records/good --out runs/a-file": (
        "cannot write the report in runs/a-file. Cause: File exists. Cure: give another --out."
    ),
    "records/good --out runs/a-file/inner": (
        "cannot write the report in runs/a-file/inner. Cause: Not a directory. Cure: give "
        "another --out."
    ),
}


@pytest.mark.parametrize("row", RECORD_ROWS)
def test_record(row, refused):
    refused(RECORD + row, RECORD_ROWS[row])


@pytest.mark.parametrize("row", PLACE_ROWS)
def test_place(row, refused):
    refused(PLACE + row, PLACE_ROWS[row])


@pytest.mark.slow
@pytest.mark.parametrize("row", SLOW_PLACE_ROWS)
def test_slow_place(row, refused):
    refused(PLACE + row, SLOW_PLACE_ROWS[row])
