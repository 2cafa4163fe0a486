"""Wrong weights to evaluate.

Three dots stand for anything.
"""

import pytest

NEEDS = ("images", "runs", "weights")

EVALUATE = "evaluate weights/"
EVALUATE_ROWS = {
    "empty.safetensors": (
        "cannot read weights/empty.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "text.safetensors": (
        "cannot read weights/text.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "cut.safetensors": (
        "cannot read weights/cut.safetensors. Cause: Error while deserializing header: ... "
        "Cure: give another file."
    ),
    "short.safetensors": (
        "cannot read weights/short.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "long.safetensors": (
        "cannot read weights/long.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "huge.safetensors": (
        "cannot read weights/huge.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "list.safetensors": (
        "cannot read weights/list.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "deep.safetensors": (
        "cannot read weights/deep.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "type.safetensors": (
        "cannot read weights/type.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "offsets.safetensors": (
        "cannot read weights/offsets.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "float4.safetensors": (
        "weights/float4.safetensors was not written by ldb. Cause: its metadata has no "
        "usable entry of layerdropback. Cure: load it with safetensors and timm."
    ),
    "float8.safetensors": (
        "weights/float8.safetensors was not written by ldb. Cause: its metadata has no "
        "usable entry of layerdropback. Cure: load it with safetensors and timm."
    ),
    "foreign.safetensors": (
        "weights/foreign.safetensors was not written by ldb. Cause: its metadata has no "
        "usable entry of layerdropback. Cure: load it with safetensors and timm."
    ),
    "note.safetensors": (
        "weights/note.safetensors was not written by ldb. Cause: its metadata has no "
        "usable entry of layerdropback. Cure: load it with safetensors and timm."
    ),
    "note-list.safetensors": (
        "weights/note-list.safetensors was not written by ldb. Cause: its metadata has no "
        "usable entry of layerdropback. Cure: load it with safetensors and timm."
    ),
    "note-deep.safetensors": (
        "weights/note-deep.safetensors was not written by ldb. Cause: its metadata has no "
        "usable entry of layerdropback. Cure: load it with safetensors and timm."
    ),
    "nan.safetensors": (
        "weights/nan.safetensors gives a loss of nan on digits. Cause: its weights are not "
        "finite, or far too large. Cure: give other weights."
    ),
    "more.safetensors": (
        "the weights in weights/more.safetensors are not those of the model it names. "
        "Cause: Error(s) in loading state_dict for ResNet: ... Cure: give another file."
    ),
    "shape.safetensors": (
        "the weights in weights/shape.safetensors are not those of the model it names. "
        "Cause: Error(s) in loading state_dict for ResNet: ... Cure: give another file."
    ),
    "no-spec.safetensors": (
        "weights/no-spec.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: it does not describe its "
        "model. Cure: use the release that wrote it; nothing was changed."
    ),
    "spec-word.safetensors": (
        "weights/spec-word.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: it does not describe its "
        "model. Cure: use the release that wrote it; nothing was changed."
    ),
    "spec-less.safetensors": (
        "weights/spec-less.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: it differs in what it... "
        "Cure: use the release that wrote it; nothing was changed."
    ),
    "spec-name.safetensors": (
        "weights/spec-name.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: what it tells of its "
        "model is not usable: name is 5. Cure: use the release that wrote it; nothing was "
        "changed."
    ),
    "spec-classes.safetensors": (
        "weights/spec-classes.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: what it tells of its "
        "model is not usable: classes is 'ten'. Cure: use the release that wrote it; "
        "nothing was changed."
    ),
    "spec-channels.safetensors": (
        "weights/spec-channels.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: what it tells of its "
        "model is not usable: channels is -1. Cure: use the release that wrote it; nothing "
        "was changed."
    ),
    "spec-image_size.safetensors": (
        "weights/spec-image_size.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: what it tells o... Cure: "
        "use the release that wrote it; nothing was changed."
    ),
    "spec-args.safetensors": (
        "cannot build test_resnet for 8x8 images. Cause: ResNet.__init__() got an "
        "unexpected keyword argument 'no_such_argument'. Cure: choose another --model, "
        "--model-args or --image-size."
    ),
    "spec-small_stem.safetensors": (
        "weights/spec-small_stem.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: what it tells o... Cure: "
        "use the release that wrote it; nothing was changed."
    ),
    "spec-model.safetensors": (
        "--model zzzz is unknown. Cause: timm has no model of that name. Cure: see "
        "timm.list_models()."
    ),
    "spec-other.safetensors": (
        "the weights in weights/spec-other.safetensors are not those of the model it "
        "names. Cause: Error(s) in loading state_dict for VisionTransformer: ... Cure: "
        "give another file."
    ),
    "no-classes.safetensors": (
        "weights/no-classes.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: it does not tell its "
        "classes. Cure: use the release that wrote it; nothing was changed."
    ),
    "classes-number.safetensors": (
        "weights/classes-number.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: what it tells of its "
        "classes and its data is not usable. Cure: use the release that wrote it; nothing "
        "was changed."
    ),
    "classes-other.safetensors": (
        "digits has 10 classes (0, 1, 2, ...), the model 2 (a, b, ...). Cause: it was "
        "trained on others. Cure: give other --data."
    ),
    "no-mean.safetensors": (
        "weights/no-mean.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: it does not tell its "
        "mean. Cure: use the release that wrote it; nothing was changed."
    ),
    "mean-word.safetensors": (
        "weights/mean-word.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: what it tells of its... "
        "Cure: use the release that wrote it; nothing was changed."
    ),
    "mean-empty.safetensors": (
        "weights/mean-empty.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: what it tells of its... "
        "Cure: use the release that wrote it; nothing was changed."
    ),
    "std-zero.safetensors": (
        "weights/std-zero.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: what it tells of its "
        "i... Cure: use the release that wrote it; nothing was changed."
    ),
    "crop.safetensors": (
        "weights/crop.safetensors cannot be used. Cause: another release of layerdropback "
        "wrote it, though named ... as this one is: what it tells of its images is not "
        "usable (crop_pct is a share). Cure: use the release that wrote it; nothing was "
        "changed."
    ),
    "data-number.safetensors": (
        "weights/data-number.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: what it tells of its "
        "classes and its data is not usable. Cure: use the release that wrote it; nothing "
        "was changed."
    ),
    "data-lost.safetensors": (
        "no folder /no/such/folder. Cause: --data folder:DIR names it. Cure: give another."
    ),
    "data-kind.safetensors": (
        "weights/data-kind.safetensors cannot be used. Cause: another release of "
        "layerdropback wrote it, though named ... as this one is: what it tells of its "
        "classes and its data is not usable. Cure: use the release that wrote it; nothing "
        "was changed."
    ),
    "no-data.safetensors": (
        "weights/no-data.safetensors does not say on which data it was trained. Cause: "
        "another tool or release wrote it. Cure: give --data."
    ),
    "version.safetensors": (
        "weights/version.safetensors was not written by ldb. Cause: its metadata has no "
        "usable entry of layerdropback. Cure: load it with safetensors and timm."
    ),
    "evil.safetensors": (
        "cannot read weights/evil.safetensors. Cause: Error while deserializing header: "
        "... Cure: give another file."
    ),
    "weights.pt": (
        "cannot read weights/weights.pt. Cause: Error while deserializing header: ... "
        "Cure: give another file."
    ),
    "evil.pt": (
        "cannot read weights/evil.pt. Cause: Error while deserializing header: ... Cure: "
        "give another file."
    ),
    "nothing": (
        "cannot read weights/nothing. Cause: No such file or directory: weights/nothing. "
        "Cure: give another file."
    ),
    "good.safetensors --data digits:01": (
        "digits:01 has 2 classes (0, 1, ...), the model 10 (0, 1, 2, ...). Cause: it was "
        "trained on others. Cure: give other --data."
    ),
    "good.safetensors --data folder:images/good": (
        "the images of folder:images/good have 3 channels, the model takes 1. Cause: it "
        "was trained on others. Cure: give other --data."
    ),
    "good.safetensors --limit-test 0": (
        "--limit-test 0 is not usable. Cause: a whole number from 1 on is needed. Cure: give one."
    ),
    "good.safetensors --workers -1": (
        "--workers -1 is not usable. Cause: a whole number from 0 to 1024 is needed. Cure: "
        "give one."
    ),
    "good.safetensors --device cuda:1": (
        "--device cuda:1 is not usable. Cause: it is one of auto, cpu, cuda. Cure: give one."
    ),
    "good.safetensors --device gpu": (
        "--device gpu is not usable. Cause: it is one of auto, cpu, cuda. Cure: give one."
    ),
    "good.safetensors --threads 0": (
        "--threads 0 is not usable. Cause: a whole number from 1 to 1024 is needed. Cure: give one."
    ),
    "good.safetensors --data-dir nowhere --data cifar10": (
        "no cifar10 in nowhere. Cause: there is no nowhere/cifar-10-batches-py. Cure: give "
        "--download, or --data-dir with the folder that has it."
    ),
    "good.safetensors --data nowhere": (
        "--data nowhere is unknown. Cause: it is 'digits', 'digits:0123', 'cifar10', "
        "'cifar100', 'svhn', 'mnist', 'fashion-mnist', 'folder:DIR' or 'hf:NAME'. Cure: "
        "give one of these."
    ),
    "good.safetensors --data-dir ''": (
        "--data-dir '' is not usable. Cause: it names no place. Cure: give one, or leave "
        "the flag out."
    ),
}


@pytest.mark.parametrize("row", EVALUATE_ROWS)
def test_evaluate(row, refused):
    refused(EVALUATE + row, EVALUATE_ROWS[row])
