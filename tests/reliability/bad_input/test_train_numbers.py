"""Numbers of ``ldb train`` that are none, or out of their bounds.

Three dots stand for anything.
"""

import pytest

NEEDS = ("settings",)

TRAIN = (
    "train --model test_resnet --limit-train 32 --limit-test 20 --batch-size 8 "
    "--epochs 0.5 --out new "
)
TRAIN_ROWS = {
    "--epochs nan": (
        "--epochs nan is not usable. Cause: a number above 0 is needed. Cure: give one."
    ),
    "--epochs inf": (
        "--epochs inf is not usable. Cause: a number up to 2,147,483,648 is needed. Cure: give one."
    ),
    "--epochs -1": "--epochs -1 is not usable. Cause: a number above 0 is needed. Cure: give one.",
    "--epochs 1e300": (
        "--epochs 1e+300 is not usable. Cause: a number up to 2,147,483,648 is needed. "
        "Cure: give one."
    ),
    "--batch-size 0": (
        "--batch-size 0 is not usable. Cause: a whole number from 2 on is needed. Cure: give one."
    ),
    "--batch-size -4": (
        "--batch-size -4 is not usable. Cause: a whole number from 2 on is needed. Cure: give one."
    ),
    "--batch-size 2147483648": (
        "--batch-size 2147483648 is not usable. Cause: a number up to 2,147,483,647 is "
        "needed. Cure: give one."
    ),
    "--accumulate 0": (
        "--accumulate 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--image-size 0": (
        "--image-size 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--image-size -8": (
        "--image-size -8 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--image-size 2147483648": (
        "--image-size 2147483648 is not usable. Cause: a number up to 2,147,483,647 is "
        "needed. Cure: give one."
    ),
    "--limit-train 0": (
        "--limit-train 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--limit-test 0": (
        "--limit-test 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--limit-test -1": (
        "--limit-test -1 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--lr 0": "--lr 0.0 is not usable. Cause: a number above 0 is needed. Cure: give one.",
    "--lr -0.1": "--lr -0.1 is not usable. Cause: a number above 0 is needed. Cure: give one.",
    "--lr inf": "--lr inf is not usable. Cause: a number up to 1e+30 is needed. Cure: give one.",
    "--lr 1e31": (
        "--lr 1e+31 is not usable. Cause: a number up to 1e+30 is needed. Cure: give one."
    ),
    "--momentum -0.1": (
        "--momentum -0.1 is not usable. Cause: a number in [0, 1) is needed. Cure: give one."
    ),
    "--momentum nan": (
        "--momentum nan is not usable. Cause: a number in [0, 1) is needed. Cure: give one."
    ),
    "--weight-decay nan": (
        "--weight-decay nan is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--weight-decay inf": (
        "--weight-decay inf is not usable. Cause: a number up to 1e+30 is needed. Cure: give one."
    ),
    "--layer-decay 0": (
        "--layer-decay 0.0 is not usable. Cause: a number in (0, 1] is needed. Cure: give one."
    ),
    "--layer-decay nan": (
        "--layer-decay nan is not usable. Cause: a number in (0, 1] is needed. Cure: give one."
    ),
    "--crop-pct 0": (
        "--crop-pct 0.0 is not usable. Cause: a number in (0, 1] is needed. Cure: give one."
    ),
    "--crop-pct nan": (
        "--crop-pct nan is not usable. Cause: a number in (0, 1] is needed. Cure: give one."
    ),
    "--scale 2": "--scale 2.0 is not usable. Cause: a number in (0, 1] is needed. Cure: give one.",
    "--rotate nan": (
        "--rotate nan is not usable. Cause: a number in [0, 180] is needed. Cure: give one."
    ),
    "--rotate -1": (
        "--rotate -1.0 is not usable. Cause: a number in [0, 180] is needed. Cure: give one."
    ),
    "--erasing -0.1": (
        "--erasing -0.1 is not usable. Cause: a number in [0, 1] is needed. Cure: give one."
    ),
    "--erasing nan": (
        "--erasing nan is not usable. Cause: a number in [0, 1] is needed. Cure: give one."
    ),
    "--mixup -1": (
        "--mixup -1.0 is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--mixup nan": (
        "--mixup nan is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--mixup inf": (
        "--mixup inf is not usable. Cause: a number up to 1e+30 is needed. Cure: give one."
    ),
    "--cutmix -1": (
        "--cutmix -1.0 is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--cutmix inf": (
        "--cutmix inf is not usable. Cause: a number up to 1e+30 is needed. Cure: give one."
    ),
    "--ema -0.5": "--ema -0.5 is not usable. Cause: a number in [0, 1) is needed. Cure: give one.",
    "--ema nan": "--ema nan is not usable. Cause: a number in [0, 1) is needed. Cure: give one.",
    "--clip-grad nan": (
        "--clip-grad nan is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--clip-grad inf": (
        "--clip-grad inf is not usable. Cause: a number up to 1e+30 is needed. Cure: give one."
    ),
    "--label-smoothing -1": (
        "--label-smoothing -1.0 is not usable. Cause: a number in [0, 1) is needed. Cure: give one."
    ),
    "--gamma 0": "--gamma 0.0 is not usable. Cause: a number above 0 is needed. Cure: give one.",
    "--gamma nan": "--gamma nan is not usable. Cause: a number above 0 is needed. Cure: give one.",
    "--warmup-epochs -1": (
        "--warmup-epochs -1.0 is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--warmup-epochs nan": (
        "--warmup-epochs nan is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--head-init-scale nan": (
        "--head-init-scale nan is not usable. Cause: a number from 0 on is needed. Cure: give one."
    ),
    "--threads -1": (
        "--threads -1 is not usable. Cause: a whole number from 1 to 1024 is needed. Cure: "
        "give one."
    ),
    "--threads 1025": (
        "--threads 1025 is not usable. Cause: a whole number from 1 to 1024 is needed. "
        "Cure: give one."
    ),
    "--workers 1025": (
        "--workers 1025 is not usable. Cause: a whole number from 0 to 1024 is needed. "
        "Cure: give one."
    ),
    "--checkpoint-every 0": (
        "--checkpoint-every 0 is not usable. Cause: a whole number from 1 on is needed. "
        "Cure: give one."
    ),
    "--checkpoints -1": (
        "--checkpoints -1 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--drop-rate nan": (
        "--drop-rate nan is not usable. Cause: it is the chance to be dropped. Cure: give "
        "a number in [0, 1), 0 for plain training."
    ),
    "--drop-rate inf": (
        "--drop-rate inf is not usable. Cause: it is the chance to be dropped. Cure: give "
        "a number in [0, 1), 0 for plain training."
    ),
    "--drop-rate -0.5": (
        "--drop-rate -0.5 is not usable. Cause: it is the chance to be dropped. Cure: give "
        "a number in [0, 1), 0 for plain training."
    ),
    "--drop-rate 1": (
        "--drop-rate 1.0 is not usable. Cause: it is the chance to be dropped. Cure: give "
        "a number in [0, 1), 0 for plain training."
    ),
    "--batch-scale 0": (
        "--batch-scale 0.0 is not usable. Cause: it multiplies the batch size in drop "
        "epochs. Cure: give a number above 0."
    ),
    "--batch-scale nan": (
        "--batch-scale nan is not usable. Cause: it multiplies the batch size in drop "
        "epochs. Cure: give a number above 0."
    ),
    "--batch-scale inf": (
        "--batch-scale inf is not usable. Cause: it multiplies the batch size in drop "
        "epochs. Cure: give a number above 0."
    ),
    "--anneal 1": (
        "--anneal 1.0 is not usable. Cause: it is a share of the run. Cure: give a number "
        "in [0, 1)."
    ),
    "--anneal nan": (
        "--anneal nan is not usable. Cause: it is a share of the run. Cure: give a number "
        "in [0, 1)."
    ),
    "--anneal -1": (
        "--anneal -1.0 is not usable. Cause: it is a share of the run. Cure: give a number "
        "in [0, 1)."
    ),
    "--model-args drop_path_rate=[1": (
        "--model-args drop_path_rate=[1 is not usable. Cause: '[1' is no value. Cure: give "
        "a number, a word or a [list]."
    ),
    "--model-args drop_path_rate=2001-13-45": (
        "--model-args drop_path_rate=2001-13-45 is not usable. Cause: '2001-13-45' is no "
        "value. Cure: give a number, a word or a [list]."
    ),
    "--model-args 'drop_path_rate=!!bool maybe'": (
        "--model-args drop_path_rate=!!bool maybe is not usable. Cause: '!!bool maybe' is "
        "no value. Cure: give a number, a word or a [list]."
    ),
    "--limit-train 33000000000": (
        "--limit-train 33000000000 is not usable. Cause: a number up to 2,147,483,647 is "
        "needed. Cure: give one."
    ),
    "--optimizer adamw --lr 1e-400": (
        "--lr 0.0 is not usable. Cause: a number above 0 is needed. Cure: give one."
    ),
    "--warmup-epochs 1e300": (
        "--warmup-epochs 1e+300 is not usable. Cause: a number up to 1e+30 is needed. "
        "Cure: give one."
    ),
    "--image-size 9000000000000000000000": (
        "--image-size 9000000000000000000000 is not usable. Cause: a number up to "
        "2,147,483,647 is needed. Cure: give one."
    ),
}


@pytest.mark.parametrize("row", TRAIN_ROWS)
def test_train(row, refused):
    refused(TRAIN + row, TRAIN_ROWS[row])
