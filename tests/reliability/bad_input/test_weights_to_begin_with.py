"""Wrong weights to begin a training with.

Three dots stand for anything.
"""

import pytest

NEEDS = ("images", "runs", "weights")

INIT = (
    "train --model test_resnet --limit-train 32 --limit-test 20 --batch-size 8 "
    "--epochs 0.5 --out new --init "
)
INIT_ROWS = {
    "weights/empty.safetensors": (
        "cannot read ...weights/empty.safetensors. Cause: Error while deserializing "
        "header: ... Cure: give another file."
    ),
    "weights/text.safetensors": (
        "cannot read ...weights/text.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "weights/cut.safetensors": (
        "cannot read ...weights/cut.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "weights/short.safetensors": (
        "cannot read ...weights/short.safetensors. Cause: Error while deserializing "
        "header: ... Cure: give another file."
    ),
    "weights/long.safetensors": (
        "cannot read ...weights/long.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "weights/huge.safetensors": (
        "cannot read ...weights/huge.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "weights/list.safetensors": (
        "cannot read ...weights/list.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "weights/deep.safetensors": (
        "cannot read ...weights/deep.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "weights/type.safetensors": (
        "cannot read ...weights/type.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "weights/offsets.safetensors": (
        "cannot read ...weights/offsets.safetensors. Cause: Error while deserializing "
        "header: ... Cure: give another file."
    ),
    "weights/float4.safetensors": (
        'cannot read ...weights/float4.safetensors. Cause: "copy_kernel" not implemented '
        "for 'Float4_e2m1fn_x2'. Cure: give another file."
    ),
    "weights/float8.safetensors": (
        "--init ...weights/float8.safetensors does not fit the model. Cause: missing: "
        "'conv1.0.weight', 'conv1.1.weight', 'conv1.1.bias', 'conv1.1.running_mean... "
        "Cure: give the same --model, --stem and --image-size, or another file."
    ),
    "weights/nan.safetensors": (
        "--init ...weights/nan.safetensors is not usable. Cause: there are NaN or "
        "infinities in 'layer4.0.downsample.2.weight'. Cure: give weights of a run that "
        "has not diverged."
    ),
    "weights/few.safetensors": (
        "--init ...weights/few.safetensors does not fit the model. Cause: missing: "
        "'conv1.1.num_batches_tracked', 'conv1.4.num_batches_tracked', 'bn1.num_batch... "
        "Cure: give the same --model test_resnet, --stem small an..."
    ),
    "weights/more.safetensors": (
        "--init ...weights/more.safetensors does not fit the model. Cause: unexpected: "
        "'extra.weight'. Cure: give the same --model test_resnet, --stem small and "
        "--image-size 8, or another file."
    ),
    "weights/shape.safetensors": (
        "--init ...weights/shape.safetensors does not fit the model. Cause: unexpected: "
        "'conv1.weight'. Cure: give the same --model test_resnet, --stem small and "
        "--image-size 8, or another file."
    ),
    "weights/whole-numbers.safetensors": (
        "--init ...weights/whole-numbers.safetensors does not fit the model. Cause: of "
        "another type: 'bn1.bias torch.int64, not torch.float32', 'bn1.running_me... Cure: "
        "give the same --model test_resnet, --stem small an..."
    ),
    "weights/spec-name.safetensors": (
        "--init ...weights/spec-name.safetensors does not fit the model. Cause: model 5 "
        "there and test_resnet here. Cure: give the same --model, --stem and kind of "
        "images, or another file."
    ),
    "weights/spec-channels.safetensors": (
        "--init ...weights/spec-channels.safetensors does not fit the model. Cause: "
        "channels -1 there and 1 here. Cure: give the same --model, --stem and kind of "
        "images, or another file."
    ),
    "weights/spec-small_stem.safetensors": (
        "--init ...weights/spec-small_stem.safetensors does not fit the model. Cause: "
        "small stem 3 there and True here. Cure: give the same --model, --stem and kind of "
        "images, or another file."
    ),
    "weights/spec-model.safetensors": (
        "--init ...weights/spec-model.safetensors does not fit the model. Cause: model "
        "zzzz there and test_resnet here. Cure: give the same --model, --stem and "
        "kind of images, or another file."
    ),
    "weights/spec-other.safetensors": (
        "--init ...weights/spec-other.safetensors does not fit the model. Cause: model "
        "test_vit there and test_resnet here. Cure: give the same --model, --stem and kind "
        "of images, or another file."
    ),
    "weights/evil.safetensors": (
        "cannot read ...weights/evil.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "weights/weights.pt": (
        "cannot read ...weights/weights.pt. Cause: Error while deserializing header: ... "
        "Cure: give another file."
    ),
    "weights/evil.pt": (
        "cannot read ...weights/evil.pt. Cause: Error while deserializing header: ... "
        "Cure: give another file."
    ),
    "weights": (
        "cannot read ...weights/weights.safetensors. Cause: No such file or directory: "
        "...weights/weights.safetensors. Cure: give another file."
    ),
    "runs/empty": (
        "cannot read ...runs/empty/weights.safetensors. Cause: No such file or directory: "
        "...runs/empty/weights.safetensors. Cure: give another file."
    ),
    "runs/stopped": (
        "cannot read ...runs/stopped/weights.safetensors. Cause: No such file or "
        "directory: ...runs/stopped/weights.safetensors. Cure: give another file."
    ),
    "runs/a-file": (
        "cannot read ...runs/a-file. Cause: Error while deserializing header: ... Cure: "
        "give another file."
    ),
    "nowhere.safetensors": (
        "cannot read ...nowhere.safetensors. Cause: No such file or directory: "
        "...nowhere.safetensors. Cure: give another file."
    ),
    "~nobody-here/x": (
        "--init ~nobody-here/x is not usable. Cause: Could not determine home directory. "
        "Cure: write the path out."
    ),
    "weights/good.safetensors --model test_vit --image-size 32": (
        "--init ...weights/good.safetensors does not fit the model. Cause: model "
        "test_resnet there and test_vit here. Cure: give the same --model, --stem and kind "
        "of images, or another file."
    ),
    "weights/good.safetensors --stem original": (
        "--init ...weights/good.safetensors does not fit the model. Cause: small stem True "
        "there and False here. Cure: give the same --model, --stem and kind of images, or "
        "another file."
    ),
}


@pytest.mark.parametrize("row", INIT_ROWS)
def test_init(row, refused):
    refused(INIT + row, INIT_ROWS[row])
