"""Wrong comparisons of images.

Three dots stand for anything.
"""

import pytest

NEEDS = ("settings", "runs", "weights")

COMPARE = (
    "compare --model test_resnet --limit-train 64 --limit-test 20 --batch-size 8 "
    "--epochs 2 --seeds 1 --out new "
)
COMPARE_ROWS = {
    "--drop-rate 0": (
        "--drop-rate 0 leaves nothing to compare. Cause: that is plain training itself. "
        "Cure: give another one, or an --arm."
    ),
    "--seeds 0": (
        "--seeds 0 is not usable. Cause: a whole number from 1 to 1000 is needed. Cure: give one."
    ),
    "--seeds 100000000000": (
        "--seeds 100000000000 is not usable. Cause: a whole number from 1 to 1000 is "
        "needed. Cure: give one."
    ),
    "--seeds -1": (
        "--seeds -1 is not usable. Cause: a whole number from 1 to 1000 is needed. Cure: give one."
    ),
    "--seeds a": "Invalid value for '--seeds': ... Cure: see ldb --help or ldb COMMAND --help.",
    "--margin nan": (
        "--margin nan is not usable. Cause: points in (0, 100] are needed. Cure: give one."
    ),
    "--margin -1": (
        "--margin -1 is not usable. Cause: points in (0, 100] are needed. Cure: give one."
    ),
    "--margin inf": (
        "--margin inf is not usable. Cause: points in (0, 100] are needed. Cure: give one."
    ),
    "--target 0": (
        "--target 0.0 is not usable. Cause: a percentage in (0, 100] is needed. Cure: give one."
    ),
    "--target nan": (
        "--target nan is not usable. Cause: a percentage in (0, 100] is needed. Cure: give one."
    ),
    "--lr-grid 0.1,0.2": (
        "--lr-grid 0.1,0.2 is not usable. Cause: three learning rates above 0, or more, "
        "are needed. Cure: give one."
    ),
    "--lr-grid nan,0.1,0.2": (
        "--lr-grid nan,0.1,0.2 is not usable. Cause: three learning rates above 0, or "
        "more, are needed. Cure: give one."
    ),
    "--lr-grid 0.2,0.1,0.3": (
        "--lr-grid 0.2,0.1,0.3 is not usable. Cause: they are to rise. Cure: give one."
    ),
    "--lr-grid x": (
        "--lr-grid x is not usable. Cause: numbers with commas between them are needed. "
        "Cure: give some."
    ),
    "--tune-seeds 0 --lr-grid 0.1,0.2,0.3": (
        "--tune-seeds 0 is not usable. Cause: a whole number from 1 to 1000 is needed. "
        "Cure: give one."
    ),
    "--arm ''": (
        "--arm '' is not usable. Cause: it is KEY=VALUE,... or NAME:KEY=VALUE,..., with "
        "settings as keys. Cure: see ldb train --help."
    ),
    "--arm x": (
        "--arm 'x' is not usable. Cause: it is KEY=VALUE,... or NAME:KEY=VALUE,..., with "
        "settings as keys. Cure: see ldb train --help."
    ),
    "--arm drop_rate": (
        "--arm 'drop_rate' is not usable. Cause: it is KEY=VALUE,... or "
        "NAME:KEY=VALUE,..., with settings as keys. Cure: see ldb train --help."
    ),
    "--arm drop_rate=2": (
        "--arm 'drop_rate=2': --drop-rate 2.0 is not usable. Cause: it is the chance to be "
        "dropped. Cure: give a number in [0, 1), 0 for plain training."
    ),
    "--arm drop_rat=0.3": (
        "--arm 'drop_rat=0.3' sets 'drop_rat'. Cause: no such setting exists. Cure: did "
        "you mean drop_rate."
    ),
    "--arm seed=3": (
        "--arm 'seed=3' sets seed. Cause: all arms share it, or they could not be "
        "compared. Cure: give it to all: --seed."
    ),
    "--arm data=digits": (
        "--arm 'data=digits' sets data. Cause: all arms share it, or they could not be "
        "compared. Cure: give it to all: --data."
    ),
    "--arm plain:drop_rate=0.3": (
        "two arms are called 'plain'. Cause: the tables would not tell them apart. Cure: "
        "give another NAME: before one's settings."
    ),
    "--arm a:drop_rate=0.3 --arm a:drop_rate=0.4": (
        "two arms are called 'a'. Cause: the tables would not tell them apart. Cure: give "
        "another NAME: before one's settings."
    ),
    "--arm drop_rate=0.3,drop_rate=0.4": (
        "--arm 'drop_rate=0.3,drop_rate=0.4' is not usable. Cause: drop_rate is given "
        "twice. Cure: give it once."
    ),
    "--arm drop_rate=2001-13-45": (
        "--arm 'drop_rate=2001-13-45' is not usable. Cause: '2001-13-45' is no value. "
        "Cure: give another."
    ),
    "--arm strategy=nothing": (
        "--arm 'strategy=nothing': --strategy 'nothing' is not usable. Cause: there is no "
        "such strategy. Cure: give one of uniform, truncate, branch, blocks, control."
    ),
    "--arm model=nothing": (
        "--model nothing is unknown. Cause: timm has no model of that name. Cure: see "
        "timm.list_models()."
    ),
    "--arm keep=[nothing]": (
        "--keep 'nothing' matches nothing. Cause: no layer or parameter has a name like "
        "it; there are 'conv1.0', 'conv1.1', 'conv1.3', 'conv1.4', 'conv1.6' and 26 more. "
        "Cure: give names as in find_layers(model), wildcards allowed."
    ),
    "--keep '*'": (
        "no layer can be dropped. Cause: of 31 layers all are kept (the last one always "
        "is). Cure: keep fewer, choose a finer unit, or drop nothing (--drop-rate 0)."
    ),
    "--keep nothing": (
        "--keep 'nothing' matches nothing. Cause: no layer or parameter has a name like "
        "it; there are 'conv1.0', 'conv1.1', 'conv1.3', 'conv1.4', 'conv1.6' and 26 more. "
        "Cure: give names as in find_layers(model), wildcards allowed."
    ),
    "--arm optimizer=adamx,lr=1": (
        "--optimizer adamx is unknown. Cause: timm has no optimizer of that name. Cure: "
        "did you mean adamax, adam, radam."
    ),
    "--limit-train 8": (
        "plain has less than 3 steps in a full epoch. Cause: its time cannot be measured. "
        "Cure: use smaller batches or more data."
    ),
    "--model nothing": (
        "--model nothing is unknown. Cause: timm has no model of that name. Cure: see "
        "timm.list_models()."
    ),
    "--out runs/a-file": (
        "--out runs/a-file is a file. Cause: a folder is needed. Cure: give another name."
    ),
    "--out runs/done": (
        "--out runs/done is not empty. Cause: something would be lost. Cure: give another "
        "folder, or --resume, or --overwrite."
    ),
    "--resume --out runs/done": (
        "--out runs/done holds no comparison. Cause: a run of ldb train is in it. Cure: "
        "give another folder."
    ),
    "--resume --overwrite": (
        "--resume and --overwrite exclude each other. Cause: one keeps what is there. "
        "Cure: give one of them."
    ),
    "--checkpoint-every 3": (
        "No such option: --checkpoint-every. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--parallel ddp": "No such option: --parallel... Cure: see ldb --help or ldb COMMAND --help.",
    "--data digits:9": (
        "--data digits:9 is unknown. Cause: each character after the colon is a digit "
        "whose images are used. Cure: give two or more, each once, such as digits:01234."
    ),
    "--image-size 100000": (
        "cannot build test_resnet for 100000x100000 images. Cause: [enforce fail at "
        "alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: yo... "
        "Cure: choose another --model or --image-size."
    ),
    "--arm strategy=blocks,active_blocks=99": (
        "--active-blocks 99 leaves no block to rest: there are 4. Cause: a block counts "
        "where it trains, is reached by the loss, and is not kept. Cure: give fewer active "
        "ones, or train without LayerDropBack."
    ),
    "--init weights/cut.safetensors": (
        "cannot read weights/cut.safetensors. Cause: Error while deserializing header: ... "
        "Cure: give another file."
    ),
    "--init weights/shape.safetensors": (
        "--init weights/shape.safetensors does not fit the model. Cause: unexpected: "
        "'conv1.weight'. Cure: give the same --model test_resnet, --stem small and "
        "--image-size 8, or another file."
    ),
    "--task-arg a=1": (
        "--task-arg a=1 is not usable. Cause: no --task is given. Cure: give one, or leave it out."
    ),
    "--resume --out runs/others --seeds 0": (
        "--seeds 0 is not usable. Cause: a whole number from 1 to 1000 is needed. Cure: give one."
    ),
}


@pytest.mark.parametrize("row", COMPARE_ROWS)
def test_compare(row, refused):
    refused(COMPARE + row, COMPARE_ROWS[row])
