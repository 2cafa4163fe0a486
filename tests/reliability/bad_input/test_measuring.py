"""Wrong flags of the commands that measure, and wrong commands.

Three dots stand for anything.
"""

import pytest

NEEDS = ("settings", "images", "runs", "weights", "models")

PROFILE = (
    "profile --model test_resnet --image-size 32 --batch-size 4 --pairs 3 --classes 10 --out new "
)
PROFILE_ROWS = {
    "--rates nan": (
        "--rates nan is not usable. Cause: drop rates in (0, 1) are needed. Cure: give one."
    ),
    "--rates 1": (
        "--rates 1 is not usable. Cause: drop rates in (0, 1) are needed. Cure: give one."
    ),
    "--rates 0": (
        "--rates 0 is not usable. Cause: drop rates in (0, 1) are needed. Cure: give one."
    ),
    "--rates ''": (
        "--rates is not usable. Cause: numbers with commas between them are needed. Cure: "
        "give some."
    ),
    "--strategies nothing": (
        "--strategies nothing is not usable. Cause: it is one of uniform, truncate, "
        "branch. Cure: give one."
    ),
    "--strategies ''": (
        "--strategies is not usable. Cause: it is one of uniform, truncate, branch. Cure: give one."
    ),
    "--strategies blocks": (
        "--strategies blocks is not usable. Cause: it is one of uniform, truncate, branch. "
        "Cure: give one."
    ),
    "--pairs 0": (
        "--pairs 0 is not usable. Cause: a whole number from 3 to 10000 is needed. Cure: give one."
    ),
    "--pairs 2": (
        "--pairs 2 is not usable. Cause: a whole number from 3 to 10000 is needed. Cure: give one."
    ),
    "--pairs 99999999": (
        "--pairs 99999999 is not usable. Cause: a whole number from 3 to 10000 is needed. "
        "Cure: give one."
    ),
    "--classes 1": (
        "--classes 1 is not usable. Cause: a whole number from 2 on is needed. Cure: give one."
    ),
    "--classes -1": (
        "--classes -1 is not usable. Cause: a whole number from 2 on is needed. Cure: give one."
    ),
    "--classes 99999999": (
        "--classes 99999999 is not usable. Cause: a whole number from 2 on is needed. "
        "Cure: give one."
    ),
    "--model nothing": (
        "--model nothing is unknown. Cause: timm has no model of that name. Cure: see "
        "timm.list_models()."
    ),
    "--batch-size 0": (
        "--batch-size 0 is not usable. Cause: a whole number from 2 on is needed. Cure: give one."
    ),
    "--image-size 0": (
        "--image-size 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--keep nothing": (
        "--keep 'nothing' matches nothing. Cause: no layer or parameter has a name like "
        "it; there are 'conv1.0', 'conv1.1', 'conv1.3', 'conv1.4', 'conv1.6' and 26 more. "
        "Cure: give names as in find_layers(model), wildcards allowed."
    ),
    "--unit stage": (
        "--unit 'stage' is not usable. Cause: there is no such unit. Cure: give one of "
        "layer, block, tensor."
    ),
    "--data digits": "No such option: --data... Cure: see ldb --help or ldb COMMAND --help.",
    "--device cuda": (
        "--device cuda is not usable. Cause: torch sees no GPU. Cure: use --device cpu."
    ),
    "--model-args a": (
        "--model-args a is not usable. Cause: it is KEY=VALUE. Cure: give it as in "
        "drop_path_rate=0.1."
    ),
    "--optimizer adamx --lr 1": (
        "--optimizer adamx is unknown. Cause: timm has no optimizer of that name. Cure: "
        "did you mean adamax, adam, radam."
    ),
    "--out runs/done": (
        "--out runs/done is not empty. Cause: something would be lost. Cure: give another "
        "folder, or --overwrite."
    ),
    "--out runs/a-file": (
        "--out runs/a-file is a file. Cause: a folder is needed. Cure: give another name."
    ),
    "--epochs 3": "No such option: --epochs. Cure: see ldb --help or ldb COMMAND --help.",
    "--keep '*'": (
        "no layer can be dropped. Cause: of 31 layers all are kept (the last one always "
        "is). Cure: keep fewer, choose a finer unit, or drop nothing (--drop-rate 0)."
    ),
    "--compile blocks": (
        "--compile blocks is not usable with --unit layer. Cause: torch would compile a "
        "graph for each mask inside a block, and soon give up. Cure: use --unit block, or "
        "--drop-rate 0."
    ),
    "--model resnet18.no_tag": (
        "cannot build resnet18.no_tag for 32x32 images. Cause: Invalid pretrained tag "
        "(no_tag) for resnet18. Cure: choose another --model or --image-size."
    ),
    "--image-size 100000": (
        "cannot build test_resnet for 100000x100000 images. Cause: [enforce fail at "
        "alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: yo... "
        "Cure: choose another --model or --image-size."
    ),
    "--strategies uniform,uniform": (
        "--strategies uniform,uniform is not usable. Cause: one comes twice. Cure: give one."
    ),
    "--rates 0.5,0.5": "--rates 0.5,0.5 is not usable. Cause: one comes twice. Cure: give one.",
}
COMMAND = ""
COMMAND_ROWS = {
    "paper": "Missing argument 'name'. Cure: see ldb --help or ldb COMMAND --help.",
    "paper figure9": (
        "figure9 is unknown. Cause: no such experiment is known. Cure: give one of "
        "figure1, figure3, figure4, scratch, finetune."
    ),
    "paper figure1 --scale huge": (
        "--scale huge is not usable. Cause: it is one of full, tiny. Cure: give one."
    ),
    "paper scratch --scale tiny --out runs/a-file": (
        "cannot use runs/a-file/test_resnet. Cause: Not a directory. Cure: check the path, "
        "its rights and room."
    ),
    "paint": (
        "No such command 'paint'. Did you mean 'train'. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "trian": (
        "No such command 'trian'. Did you mean 'train'. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--versio": "No such option: --versio... Cure: see ldb --help or ldb COMMAND --help.",
    "train --help --x": "No such option: --x... Cure: see ldb --help or ldb COMMAND --help.",
    "profile --model": (
        "Option '--model' requires an argument. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "TRAIN": "No such command 'TRAIN'. Cure: see ldb --help or ldb COMMAND --help.",
    "train train": (
        "Got unexpected extra argument(s) (train). Cure: see ldb --help or ldb COMMAND --help."
    ),
}


@pytest.mark.parametrize("row", PROFILE_ROWS)
def test_profile(row, refused):
    refused(PROFILE + row, PROFILE_ROWS[row])


@pytest.mark.parametrize("row", COMMAND_ROWS)
def test_command(row, refused):
    refused(COMMAND + row, COMMAND_ROWS[row])
