"""Wrong flags of ``ldb memory``.

Three dots stand for anything.
"""

import pytest

NEEDS = ("settings", "images", "runs", "weights", "models")

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
    "--model test_resnet --budget 999999999999999999999999999999GiB": (
        "--budget 999999999999999999999999999999GiB is not usable. Cause: an amount above "
        "0 with GiB, GB, MiB or MB is needed, up to 2**63 bytes. Cure: give 24GiB, say."
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


@pytest.mark.parametrize("row", MEMORY_ROWS)
def test_memory(row, refused):
    refused(MEMORY + row, MEMORY_ROWS[row])
