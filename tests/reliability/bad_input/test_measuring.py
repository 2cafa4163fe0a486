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
}
MEMORY = "memory --out new "
MEMORY_ROWS = {
    "": "a model is missing. Cause: one model is predicted. Cure: give --model, or --hf-config.",
    "--model nothing": (
        "--model nothing is unknown. Cause: timm has no model of that name. Cure: see "
        "timm.list_models()."
    ),
    "--model test_resnet --hf-config x": (
        "two models are given. Cause: one model is predicted. Cure: give --model, or --hf-config."
    ),
    "--hf-config nowhere": (
        "--hf-config nowhere cannot be read. Cause: there is no such file. Cure: give a "
        "model's config.json, or the folder that it is in."
    ),
    "--hf-config settings/typo.json": (
        "--hf-config settings/typo.json is no config. Cause: it is no JSON with a "
        "model_type. Cure: give a model's config.json."
    ),
    "--hf-config settings/list.yaml": (
        "--hf-config settings/list.yaml is no config. Cause: it is no JSON with a "
        "model_type. Cure: give a model's config.json."
    ),
    "--hf-config images": (
        "--hf-config images cannot be read. Cause: the folder has no config.json. Cure: "
        "give a model's config.json, or the folder that it is in."
    ),
    "--hf-config weights/good.safetensors": (
        "--hf-config weights/good.safetensors is no config. Cause: it is no JSON with a "
        "model_type. Cure: give a model's config.json."
    ),
    "--model test_resnet --batch-size 0": (
        "--batch-size 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--model test_resnet --image-size -1": (
        "--image-size -1 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--model test_resnet --tokens 0": (
        "--tokens 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--model test_resnet --classes 0": (
        "--classes 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--model test_resnet --precision fp8": (
        "--precision fp8 is not usable. Cause: it is one of fp32, bf16, autocast, master. "
        "Cure: give one."
    ),
    "--model test_resnet --optimizer adam": (
        "--optimizer adam is not usable. Cause: it is one of adamw-fused, adamw-foreach, "
        "adamw-loop, adamw-8bit, sgd, sgd-momentum. Cure: give one."
    ),
    "--model test_resnet --arms all": (
        "--arms all is not usable. Cause: it is one of full, truncate, blocks, lisa, lora. "
        "Cure: give one."
    ),
    "--model test_resnet --arms ,": (
        "--arms is not usable. Cause: it is one of full, truncate, blocks, lisa, lora. "
        "Cure: give one."
    ),
    "--model test_resnet --active-blocks 0": (
        "--active-blocks 0 is not usable. Cause: a whole number from 1 on is needed. Cure: "
        "give one."
    ),
    "--model test_resnet --arms lora --rank 0": (
        "--rank 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--model test_resnet --drop-rate nan": (
        "--drop-rate nan is not usable. Cause: a number in (0, 1) is needed. Cure: give one."
    ),
    "--model test_resnet --drop-rate 1": (
        "--drop-rate 1 is not usable. Cause: a number in (0, 1) is needed. Cure: give one."
    ),
    "--model test_resnet --drop-rate 0": (
        "--drop-rate 0 is not usable. Cause: a number in (0, 1) is needed. Cure: give one."
    ),
    "--model test_resnet --budget 24": (
        "--budget 24 is not usable. Cause: an amount above 0 with GiB, GB, MiB or MB is "
        "needed, up to 2**63 bytes. Cure: give 24GiB, say."
    ),
    "--model test_resnet --budget -1GiB": (
        "--budget -1GiB is not usable. Cause: an amount above 0 with GiB, GB, MiB or MB is "
        "needed, up to 2**63 bytes. Cure: give 24GiB, say."
    ),
    "--model test_resnet --budget 0GiB": (
        "--budget 0GiB is not usable. Cause: an amount above 0 with GiB, GB, MiB or MB is "
        "needed, up to 2**63 bytes. Cure: give 24GiB, say."
    ),
    "--model test_resnet --budget ''": (
        "--budget is not usable. Cause: an amount above 0 with GiB, GB, MiB or MB is "
        "needed, up to 2**63 bytes. Cure: give 24GiB, say."
    ),
    "--model test_resnet --budget 1e3GiB": (
        "--budget 1e3GiB is not usable. Cause: an amount above 0 with GiB, GB, MiB or MB "
        "is needed, up to 2**63 bytes. Cure: give 24GiB, say."
    ),
    "--model test_resnet --budget 9999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999GiB": (
        "--budget "
        "9999999999999999999999999999999999999999999999999999999999999999999999"
        "99999999999999999999999999999999999999999999999999999999999999999999999... Cure: "
        "give 24GiB, say."
    ),
    "--model test_resnet --out runs/done": (
        "--out runs/done is not empty. Cause: something would be lost. Cure: give another "
        "folder, or --overwrite."
    ),
    "--model test_resnet --out runs/a-file": (
        "--out runs/a-file is a file. Cause: a folder is needed. Cure: give another name."
    ),
    "--model resnet18.no_tag": (
        "--model resnet18.no_tag is unknown. Cause: Invalid pretrained tag (no_tag) for "
        "resnet18. Cure: give the name without the tag, or another one."
    ),
    "--model test_vit --image-size 33": (
        "test_vit cannot be trained on 32 images of 33x33 pixels. Cause: Input height (33) "
        "should be divisible by patch size (16). Cure: choose another size or model."
    ),
    "--hf-config models/config-words": (
        "--hf-config models/config-words is no config. Cause: it is no JSON with a "
        "model_type. Cure: give a model's config.json."
    ),
    "--hf-config models/config-list": (
        "--hf-config models/config-list is no config. Cause: it is no JSON with a "
        "model_type. Cure: give a model's config.json."
    ),
    "--hf-config models/config-kind": (
        "--hf-config models/config-kind cannot be built. Cause: transformers knows no "
        "model_type 'no_such_kind'. Cure: install a newer transformers, or give the config "
        "of a model that it has."
    ),
    "--hf-config models/config-deep": (
        "--hf-config models/config-deep is no config. Cause: it is no JSON with a "
        "model_type. Cure: give a model's config.json."
    ),
    "--hf-config models/config-size": (
        "cannot build config-size. Cause: Trying to create tensor with negative dimension "
        "-3: [30522, -3]. Cure: choose another model."
    ),
    "--hf-config models/config-heads": (
        "cannot build config-heads. Cause: The hidden size (16) is not a multiple of the "
        "number of attention heads (5). Cure: choose another model."
    ),
    "--hf-config models/no-config": (
        "--hf-config models/no-config cannot be read. Cause: the folder has no "
        "config.json. Cure: give a model's config.json, or the folder that it is in."
    ),
    "--hf-config models/good --tokens 4096 --batch-size 0": (
        "--batch-size 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "--hf-config ''": (
        "--hf-config '' is not usable. Cause: it names no place. Cure: give one, or leave "
        "the flag out."
    ),
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


@pytest.mark.parametrize("row", MEMORY_ROWS)
def test_memory(row, refused):
    refused(MEMORY + row, MEMORY_ROWS[row])


@pytest.mark.parametrize("row", COMMAND_ROWS)
def test_command(row, refused):
    refused(COMMAND + row, COMMAND_ROWS[row])
