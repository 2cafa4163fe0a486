"""Wrong runs to export and to report on.

Three dots stand for anything.
"""

import pytest

from spoiled.rows import CHECKPOINTS

NEEDS = ("runs",)

EXPORT = "export --to new.safetensors runs/"
EXPORT_ROWS = CHECKPOINTS | {
    "no-model": (
        "runs/no-model/checkpoints/step-000000009-...pt cannot be used. Cause: another "
        "release of layerdropback wrote it, though named ... as this one is: Error(s) in "
        "loading state_dict for ResNet: ... Cure: use the release that wrote it; nothing "
        "was changed."
    ),
    "model-number": (
        "runs/model-number/checkpoints/step-000000009-...pt cannot be used. Cause: another "
        "release of layerdropback wrote it, though named ... as this one is:... Cure: use "
        "the release that wrote it; nothing was changed."
    ),
    "export-spec": (
        "runs/export-spec/checkpoints/step-000000009-...pt cannot be used. Cause: another "
        "release of layerdropback wrote it, though named ... as this one is: i... Cure: "
        "use the release that wrote it; nothing was changed."
    ),
    "lost": (
        "runs/lost has no weights. Cause: there is no checkpoint in runs/lost/checkpoints. "
        "Cure: train on with --resume."
    ),
    "other-name": (
        "runs/other-name has no weights. Cause: there is no checkpoint in "
        "runs/other-name/checkpoints. Cure: train on with --resume."
    ),
    "empty": (
        "no run in runs/empty. Cause: it has neither settings.yaml nor "
        "weights.safetensors. Cure: name the folder of ldb train."
    ),
    "others": (
        "no run in runs/others. Cause: it has neither settings.yaml nor "
        "weights.safetensors. Cure: name the folder of ldb train."
    ),
    "a-file": (
        "no run in runs/a-file. Cause: it has neither settings.yaml nor "
        "weights.safetensors. Cure: name the folder of ldb train."
    ),
    "nowhere": (
        "no run in runs/nowhere. Cause: it has neither settings.yaml nor "
        "weights.safetensors. Cure: name the folder of ldb train."
    ),
}
TO = "export "
TO_ROWS = {
    "runs/done --to runs": (
        "--to runs is a folder. Cause: a file is written. Cure: name one in it."
    ),
    "runs/done --to no/where.safetensors": (
        "--to no/where.safetensors cannot be written. Cause: there is no folder no. Cure: make it."
    ),
    "runs/done --to runs/a-file": (
        "--to runs/a-file is there already. Cause: it would be lost. Cure: give another "
        "name, or --overwrite."
    ),
    "runs/done": "Missing option '--to'. Cure: see ldb --help or ldb COMMAND --help.",
    "nowhere --to x": (
        "no run in nowhere. Cause: it has neither settings.yaml nor weights.safetensors. "
        "Cure: name the folder of ldb train."
    ),
    "runs/done --to ''": (
        "--to '' is not usable. Cause: it names no place. Cure: give one, or leave the flag out."
    ),
    "'' --to x": (
        "no run in .. Cause: it has neither settings.yaml nor weights.safetensors. Cure: "
        "name the folder of ldb train."
    ),
    "runs/done runs/done --to x": (
        "Got unexpected extra argument(s) (runs/done). Cure: see ldb --help or ldb COMMAND --help."
    ),
    "runs/done --to ~nobody-here/x": (
        "--to ~nobody-here/x is not usable. Cause: Could not determine home directory. "
        "Cure: write the path out."
    ),
}
REPORT = "report --out new runs/"
REPORT_ROWS = {
    "lines-words": (
        "cannot read the run in runs/lines-words. Cause: Expecting value: line 1 column 1 "
        "(char 0). Cure: give another folder."
    ),
    "lines-list": (
        "cannot read the run in runs/lines-list. Cause: line 1 of metrics.jsonl has no "
        "metrics. Cure: give another folder."
    ),
    "lines-number": (
        "cannot read the run in runs/lines-number. Cause: line 1 of metrics.jsonl has no "
        "metrics. Cure: give another folder."
    ),
    "lines-less": (
        "cannot read the run in runs/lines-less. Cause: line 1 of metrics.jsonl has no "
        "usable 'mode'. Cure: give another folder."
    ),
    "lines-empty": (
        "runs/lines-empty has no finished epoch yet. Cause: metrics.jsonl is empty. Cure: "
        "let it train for one."
    ),
    "lines-deep": (
        "cannot read the run in runs/lines-deep. Cause: it is nested too deeply. Cure: "
        "give another folder."
    ),
    "lines-kinds": (
        "cannot read the run in runs/lines-kinds. Cause: line 1 of metrics.jsonl has no "
        "usable 'epoch'. Cure: give another folder."
    ),
    "lines-nan": (
        "cannot read the run in runs/lines-nan. Cause: it has NaN where a number is "
        "needed. Cure: give another folder."
    ),
    "settings-list": (
        "runs/settings-list/settings.yaml holds no settings. Cause: lines such as `epochs: "
        "10` are needed. Cure: mend the file."
    ),
    "machine-list": (
        "cannot read the run in runs/machine-list. Cause: machine.json does not say what a "
        "run's does. Cure: give another folder."
    ),
    "machine-words": (
        "cannot read the run in runs/machine-words. Cause: Expecting value: line 1 column "
        "1 (char 0). Cure: give another folder."
    ),
    "machine-deep": (
        "cannot read the run in runs/machine-deep. Cause: it is nested too deeply. Cure: "
        "give another folder."
    ),
    "machine-parts": (
        "cannot read the run in runs/machine-parts. Cause: machine.json does not say what "
        "a run's does. Cure: give another folder."
    ),
    "empty": (
        "runs/empty holds no run. Cause: it holds neither comparison.json nor "
        "metrics.jsonl with settings.yaml. Cure: give the folder of an ldb train or ldb "
        "compare, or a record's file."
    ),
    "a-file": (
        "cannot read runs/a-file. Cause: it is no comparison of ldb. Cure: give the folder "
        "or the record of an ldb compare."
    ),
    "others": (
        "runs/others holds no run. Cause: it holds neither comparison.json nor "
        "metrics.jsonl with settings.yaml. Cure: give the folder of an ldb train or ldb "
        "compare, or a record's file."
    ),
    "nowhere": (
        "runs/nowhere holds no run. Cause: it holds neither comparison.json nor "
        "metrics.jsonl with settings.yaml. Cure: give the folder of an ldb train or ldb "
        "compare, or a record's file."
    ),
}


@pytest.mark.parametrize("row", EXPORT_ROWS)
def test_export(row, refused):
    refused(EXPORT + row, EXPORT_ROWS[row])


@pytest.mark.parametrize("row", TO_ROWS)
def test_to(row, refused):
    refused(TO + row, TO_ROWS[row])


@pytest.mark.parametrize("row", REPORT_ROWS)
def test_report(row, refused):
    refused(REPORT + row, REPORT_ROWS[row])
