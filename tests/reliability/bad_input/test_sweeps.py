"""Wrong sweeps of images.

Three dots stand for anything.
"""

import pytest

NEEDS = ("settings", "runs", "weights")

SWEEP = (
    "sweep --model test_resnet --limit-train 32 --limit-test 20 --batch-size 8 "
    "--epochs 2 --out new "
)
SWEEP_ROWS = {
    "--every nan": (
        "--every nan is not usable. Cause: epochs are counted. Cure: give whole numbers."
    ),
    "--every inf": (
        "--every inf is not usable. Cause: epochs are counted. Cure: give whole numbers."
    ),
    "--every 1.5": (
        "--every 1.5 is not usable. Cause: epochs are counted. Cure: give whole numbers."
    ),
    "--every 0": "--every 0 is not usable. Cause: epochs are counted. Cure: give 1 or more.",
    "--every a": (
        "--every a is not usable. Cause: numbers with commas between them are needed. "
        "Cure: give some."
    ),
    "--rates nan": (
        "--drop-rate nan is not usable. Cause: it is the chance to be dropped. Cure: give "
        "a number in [0, 1), 0 for plain training."
    ),
    "--rates 0": (
        "--rates 0 is not usable. Cause: it is plain training. Cure: leave it out: it is run."
    ),
    "--rates 1": (
        "--drop-rate 1.0 is not usable. Cause: it is the chance to be dropped. Cure: give "
        "a number in [0, 1), 0 for plain training."
    ),
    "--rates ''": (
        "there is no way to drop to look at. Cause: neither --rates nor --arm names one. "
        "Cure: give drop rates, or an --arm."
    ),
    "--rates 0.5,0.5": (
        "uniform 0.5 every 1 comes twice. Cause: a list names a value twice. Cure: name it once."
    ),
    "--strategies nothing": (
        "--strategy 'nothing' is not usable. Cause: there is no such strategy. Cure: give "
        "one of uniform, truncate, branch, blocks, control."
    ),
    "--strategies ''": (
        "--strategy '' is not usable. Cause: there is no such strategy. Cure: give one of "
        "uniform, truncate, branch, blocks, control."
    ),
    "--strategies blocks": (
        "--drop-rate is not usable with --strategy blocks. Cause: it belongs to uniform, "
        "truncate and branch. Cure: leave it out, or give another --strategy."
    ),
    "--strategies uniform,uniform": (
        "uniform 0.25 every 1 comes twice. Cause: a list names a value twice. Cure: name it once."
    ),
    "--seeds 0": (
        "--seeds 0 is not usable. Cause: a whole number from 1 to 1000 is needed. Cure: give one."
    ),
    "--seeds 100000000000": (
        "--seeds 100000000000 is not usable. Cause: a whole number from 1 to 1000 is "
        "needed. Cure: give one."
    ),
    "--period-steps 3": (
        "--period-steps 3 is not usable in a sweep. Cause: its --every counts epochs. "
        "Cure: leave it out."
    ),
    "--depth fixed --strategies uniform": (
        "--depth is not usable here. Cause: it belongs to truncate, and none is tried. "
        "Cure: leave it out, or name such a strategy."
    ),
    "--start 9": (
        "--start 9 leaves no drop epoch (arm 'uniform 0.25 every 1'). Cause: there are 2. "
        "Cure: give a smaller one."
    ),
    "--lr-grid 0.1": (
        "--lr-grid 0.1 is not usable. Cause: three learning rates above 0, or more, are "
        "needed. Cure: give one."
    ),
    "--arm x": (
        "--arm 'x' is not usable. Cause: it is KEY=VALUE,... or NAME:KEY=VALUE,..., with "
        "settings as keys. Cure: see ldb train --help."
    ),
    "--config settings/typo.yaml": (
        "settings/typo.yaml sets 'epoch'. Cause: no such setting exists. Cure: did you mean epochs."
    ),
    "--resume --overwrite": (
        "--resume and --overwrite exclude each other. Cause: one keeps what is there. "
        "Cure: give one of them."
    ),
    "--epochs 100000000000": (
        "--epochs 100000000000 is not usable. Cause: a number up to 2,147,483,648 is "
        "needed. Cure: give one."
    ),
    "--margin 1": "No such option: --margin... Cure: see ldb --help or ldb COMMAND --help.",
    "--drop-rate 0.5": (
        "No such option: --drop-rate... Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--every ''": (
        "--every is not usable. Cause: numbers with commas between them are needed. Cure: "
        "give some."
    ),
}


@pytest.mark.parametrize("row", SWEEP_ROWS)
def test_sweep(row, refused):
    refused(SWEEP + row, SWEEP_ROWS[row])
