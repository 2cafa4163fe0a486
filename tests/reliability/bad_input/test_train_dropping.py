"""Wrong flags of ``ldb train`` that say what drops, and when.

Three dots stand for anything.
"""

import pytest

NEEDS = ("settings",)

TRAIN = (
    "train --model test_resnet --limit-train 32 --limit-test 20 --batch-size 8 "
    "--epochs 0.5 --out new "
)
TRAIN_ROWS = {
    "--drop-rate half": (
        "Invalid value for '--drop-rate': ... Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--lr-scale 0": (
        "--lr-scale 0.0 is not usable. Cause: it multiplies the learning rate in drop "
        "epochs. Cure: give a number above 0, or 'inverse' for 1 / (1 - the drop rate)."
    ),
    "--lr-scale -1": (
        "--lr-scale -1.0 is not usable. Cause: it multiplies the learning rate in drop "
        "epochs. Cure: give a number above 0, or 'inverse' for 1 / (1 - the drop rate)."
    ),
    "--lr-scale nan": (
        "--lr-scale nan is not usable. Cause: it multiplies the learning rate in drop "
        "epochs. Cure: give a number above 0, or 'inverse' for 1 / (1 - the drop rate)."
    ),
    "--lr-scale ''": (
        "--lr-scale '' is not usable. Cause: it multiplies the learning rate in drop "
        "epochs. Cure: give a number above 0, or 'inverse' for 1 / (1 - the drop rate)."
    ),
    "--batch-scale 1e30": (
        "--batch-scale 1e+30 is not usable. Cause: with --batch-size 8 a drop epoch's "
        "batch would have too many images. Cure: give a smaller one."
    ),
    "--every -1": "--every -1 is not usable. Cause: epochs are counted. Cure: give 1 or more.",
    "--every 1.5": "Invalid value for '--every': ... Cure: see ldb --help or ldb COMMAND --help.",
    "--start -1": "--start -1 is not usable. Cause: epochs are counted. Cure: give 0 or more.",
    "--period-steps 0": (
        "--period-steps 0 is not usable. Cause: steps are counted. Cure: give an integer "
        "from 1 on, or None."
    ),
    "--period-steps 4 --batch-scale 2": (
        "--period-steps 4 and --batch-scale 2.0 exclude each other. Cause: a loader's "
        "batch size changes between epochs only. Cure: give one of them."
    ),
    "--ramp up": (
        "--ramp 'up' is not usable. Cause: there is no such ramp. Cure: give one of "
        "constant, rising, falling."
    ),
    "--pool 0": (
        "--pool 0 is not usable. Cause: a pool holds some masks. Cure: give an integer "
        "from 2 to 4096, or None."
    ),
    "--pool 1000000": (
        "--pool 1000000 is not usable. Cause: a pool holds some masks. Cure: give an "
        "integer from 2 to 4096, or None."
    ),
    "--strategy ''": (
        "--strategy '' is not usable. Cause: there is no such strategy. Cure: give one of "
        "uniform, truncate, branch, blocks, control."
    ),
    "--strategy Uniform": (
        "--strategy 'Uniform' is not usable. Cause: there is no such strategy. Cure: give "
        "one of uniform, truncate, branch, blocks, control."
    ),
    "--strategy blocks --drop-rate 0.5": (
        "--drop-rate is not usable with --strategy blocks. Cause: it belongs to uniform, "
        "truncate and branch. Cure: leave it out, or give another --strategy."
    ),
    "--strategy blocks --active-blocks 0": (
        "--active-blocks 0 is not usable. Cause: blocks are counted. Cure: give 1 or more."
    ),
    "--strategy blocks --active-blocks 999": (
        "--active-blocks 999 leaves no block to rest: there are 4. Cause: a block counts "
        "where it trains, is reached by the loss, and is not kept. Cure: give fewer active "
        "ones, or train without LayerDropBack."
    ),
    "--strategy blocks --train-part body": (
        "--train-part ('body',) is not usable. Cause: the parts are head, norm, embedding. "
        "Cure: give a list of some of them; keep is for names of layers."
    ),
    "--strategy blocks --ramp rising": (
        "--ramp 'rising' is not usable with Blocks(). Cause: it has no drop rate that "
        "could change. Cure: leave it out."
    ),
    "--strategy blocks --block-order up": (
        "--block-order 'up' is not usable. Cause: there is no such order. Cure: give one "
        "of random, cyclic, fixed."
    ),
    "--strategy blocks --resting-state gone": (
        "--resting-state 'gone' is not usable. Cause: there is no such state. Cure: give "
        "one of offload, release, keep."
    ),
    "--active-blocks 2": (
        "--active-blocks is not usable with --strategy uniform. Cause: it belongs to "
        "blocks. Cure: leave it out, or give another --strategy."
    ),
    "--strategy truncate --depth deep": (
        "--depth 'deep' is not usable. Cause: there is no such depth. Cure: give one of "
        "uniform, fixed, power."
    ),
    "--strategy branch --depth fixed": (
        "--depth is not usable with --strategy branch. Cause: it belongs to truncate. "
        "Cure: leave it out, or give another --strategy."
    ),
    "--unit ''": (
        "--unit '' is not usable. Cause: there is no such unit. Cure: give one of layer, "
        "block, tensor."
    ),
    "--keep ''": (
        "--keep '' matches nothing. Cause: no layer or parameter has a name like it; there "
        "are 'conv1.0', 'conv1.1', 'conv1.3', 'conv1.4', 'conv1.6' and 26 more. Cure: give "
        "names as in find_layers(model), wildcards allowed."
    ),
    "--keep '['": (
        "--keep '[' matches nothing. Cause: no layer or parameter has a name like it; "
        "there are 'conv1.0', 'conv1.1', 'conv1.3', 'conv1.4', 'conv1.6' and 26 more. "
        "Cure: give names as in find_layers(model), wildcards allowed."
    ),
    "--keep '*.nothing'": (
        "--keep '*.nothing' matches nothing. Cause: no layer or parameter has a name like "
        "it; there are 'conv1.0', 'conv1.1', 'conv1.3', 'conv1.4', 'conv1.6' and 26 more. "
        "Cure: give names as in find_layers(model), wildcards allowed."
    ),
    "--compile blocks": (
        "--compile blocks is not usable with --unit layer. Cause: torch would compile a "
        "graph for each mask inside a block, and soon give up. Cure: use --unit block, or "
        "--drop-rate 0."
    ),
    "--epochs 2 --strategy blocks --active-blocks 4": (
        "--active-blocks 4 leaves no block to rest: there are 4. Cause: a block counts "
        "where it trains, is reached by the loss, and is not kept. Cure: give fewer active "
        "ones, or train without LayerDropBack."
    ),
    "--batch-scale 0.1": (
        "--batch-scale 0.1 is not usable. Cause: with --batch-size 8 a drop epoch's batch "
        "would have less than two images. Cure: give a larger one."
    ),
    "--batch-scale 9": (
        "--batch-size 8 times --batch-scale 9 is more than the 32 training images. Cause: "
        "there would be no batch. Cure: use a smaller one."
    ),
    "--drop-rate=": (
        "Invalid value for '--drop-rate': ... Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--keep": "Option '--keep' requires an argument. Cure: see ldb --help or ldb COMMAND --help.",
}


@pytest.mark.parametrize("row", TRAIN_ROWS)
def test_train(row, refused):
    refused(TRAIN + row, TRAIN_ROWS[row])
