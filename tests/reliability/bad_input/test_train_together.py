"""Wrong flags of ``ldb train``: files and folders, what goes not together, and the parser's own.

Three dots stand for anything.
"""

import pytest

NEEDS = ("settings", "runs", "weights")

TRAIN = (
    "train --model test_resnet --limit-train 32 --limit-test 20 --batch-size 8 "
    "--epochs 0.5 --out new "
)
TOGETHER_ROWS = {
    "--config nowhere.yaml": (
        "cannot read nowhere.yaml. Cause: No such file or directory. Cure: give another file."
    ),
    "--config settings": "cannot read settings. Cause: Is a directory. Cure: give another file.",
    "--config ''": (
        "--config '' is not usable. Cause: it names no place. Cure: give one, or leave the "
        "flag out."
    ),
    "--config runs/done/metrics.jsonl": (
        "runs/done/metrics.jsonl is no YAML. Cause: expected '<document start>', but found "
        "'{'... Cure: mend the file."
    ),
    "--config weights/good.safetensors": (
        "cannot read weights/good.safetensors. Cause: 'utf-8' codec can't decode... Cure: "
        "give another file."
    ),
    "--out runs/a-file": (
        "--out runs/a-file is a file. Cause: a run needs a folder. Cure: give another name."
    ),
    "--out runs/done": (
        "--out runs/done already has settings.yaml. Cause: it would be lost. Cure: give "
        "another folder, or --resume, or --overwrite."
    ),
    "--out runs/a-file/inner": (
        "cannot use runs/a-file/inner. Cause: Not a directory. Cure: check the path, its "
        "rights and room."
    ),
    "--out ''": (
        "--out '' is not usable. Cause: it names no place. Cure: give one, or leave the flag out."
    ),
    "--out runs/done --overwrite --init runs/done": (
        "--init runs/done would be removed by --overwrite. Cause: it is in --out "
        "runs/done. Cure: copy it elsewhere."
    ),
    "--overwrite --resume --out new": (
        "--resume and --overwrite exclude each other. Cause: one keeps what is there. "
        "Cure: give one of them."
    ),
    "--no-augment --rotate 5": (
        "--no-augment and --rotate exclude each other. Cause: the first turns every "
        "augmentation off. Cure: give one of them."
    ),
    "--no-augment --randaugment": (
        "--no-augment and --randaugment exclude each other. Cause: the first turns every "
        "augmentation off. Cure: give one of them."
    ),
    "--pretrained --init x": (
        "--pretrained and --init exclude each other. Cause: both say where to start. Cure: "
        "give one of them."
    ),
    "--no-such": "No such option: --no-such. Cure: see ldb --help or ldb COMMAND --help.",
    "--data-dir nowhere --data cifar10": (
        "no cifar10 in nowhere. Cause: there is no nowhere/cifar-10-batches-py. Cure: give "
        "--download, or --data-dir with the folder that has it."
    ),
    "extra": (
        "Got unexpected extra argument(s) (extra). Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--epochs": (
        "Option '--epochs' requires an argument. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--tensorboard=3": (
        "Option '--tensorboard' does not take a value. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--flip=yes": (
        "Option '--flip' does not take a value. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--lr 0.1 0.2": (
        "Got unexpected extra argument(s) (0.2). Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--nonfinite ignore": (
        "--nonfinite ignore is not usable. Cause: it is one of stop, skip. Cure: give one."
    ),
    "--unreadable replace": (
        "--unreadable replace is not usable. Cause: it is one of stop, skip. Cure: give one."
    ),
    "--lr 1e30": (
        "the loss is nan in epoch 1. Cause: training diverged. Cure: use a smaller --lr, "
        "or --nonfinite skip."
    ),
    "--lr 1000000": (
        "the loss is nan in epoch 1. Cause: training diverged. Cure: use a smaller --lr, "
        "or --nonfinite skip."
    ),
    "--tf32=1": (
        "Option '--tf32' does not take a value. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--out= ": (
        "--out '' is not usable. Cause: it names no place. Cure: give one, or leave the flag out."
    ),
    "--data-dir ''": (
        "--data-dir '' is not usable. Cause: it names no place. Cure: give one, or leave "
        "the flag out."
    ),
    "--init ''": (
        "--init '' is not usable. Cause: it names no place. Cure: give one, or leave the flag out."
    ),
    "--accumulate 5": (
        "--accumulate 5 is not usable. Cause: each part of a batch needs two images or "
        "more, in drop epochs too. Cure: use fewer parts or a larger batch."
    ),
    "--model-args '{a: 1}'": (
        "--model-args {a: 1} is not usable. Cause: it is KEY=VALUE. Cure: give it as in "
        "drop_path_rate=0.1."
    ),
    "--data digits:01 --init runs/done --no-augment --mixup 1": (
        "--no-augment and --mixup exclude each other. Cause: the first turns every "
        "augmentation off. Cure: give one of them."
    ),
    "--seed 1e3": "Invalid value for '--seed': ... Cure: see ldb --help or ldb COMMAND --help.",
    "-h": "No such option: -h. Cure: see ldb --help or ldb COMMAND --help.",
    "--milestones 0.5 --milestones 2": (
        "--milestones 0.5 2.0 is not usable. Cause: shares of the run in (0, 1) are "
        "needed. Cure: give one."
    ),
    "--num-classes 10": (
        "No such option: --num-classes. Cure: see ldb --help or ldb COMMAND --help."
    ),
    "--img-size 32": (
        "No such option: --img-size. Cause: it is timm's name. Cure: give --image-size."
    ),
    "--learning-rate 0.1": (
        "No such option: --learning-rate. Cause: it is Hugging Face's name. Cure: give --lr."
    ),
    "--out runs/done --overwrite --init runs/done/weights.safetensors": (
        "--init runs/done/weights.safetensors would be removed by --overwrite. Cause: it "
        "is in --out runs/done. Cure: copy it elsewhere."
    ),
    "--out /dev/null": (
        "cannot use /dev/null. Cause: File exists. Cure: check the path, its rights and room."
    ),
    "--init weights/good.safetensors --model resnet10t": (
        "--init ...weights/good.safetensors does not fit the model. Cause: model "
        "test_resnet there and resnet10t here. Cure: give the same --model, --stem and "
        "kind of images, or another file."
    ),
}


@pytest.mark.parametrize("row", TOGETHER_ROWS)
def test_train(row, refused):
    refused(TRAIN + row, TOGETHER_ROWS[row])
