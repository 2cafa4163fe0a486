"""Wrong runs to resume.

Three dots stand for anything.
"""

import pytest

NEEDS = ("runs",)

RESUME = "train --resume --out runs/"
RESUME_ROWS = {
    "no-kind": (
        "no checkpoint in runs/no-kind/checkpoints can be used. Cause: "
        "step-000000009-...pt is no checkpoint of ldb. Cure: put an intact one there, or "
        "begin again with --overwrite."
    ),
    "no-version": (
        "no checkpoint in runs/no-version/checkpoints can be used. Cause: "
        "step-000000009-...pt is no checkpoint of ldb. Cure: put an intact one there, or "
        "begin again with --overwrite."
    ),
    "no-run": (
        "runs/no-run/checkpoints/step-000000009-...pt cannot be used. Cause: another "
        "release of layerdropback wrote it, though named ... as this one is: it has no "
        "part 'run'. Cure: use the release that wrote it; nothing was changed."
    ),
    "run-number": (
        "runs/run-number/checkpoints/step-000000009-...pt cannot be used. Cause: another "
        "release of layerdropback wrote it, though named ... as this one is: it has no "
        "part 'run'. Cure: use the release that wrote it; nothing was changed."
    ),
    "no-trainer": (
        "runs/no-trainer/checkpoints/step-000000009-...pt cannot be used. Cause: another "
        "release of layerdropback wrote it, though named ... as this one is: it has no "
        "part 'trainer'. Cure: use the release that wrote it; nothing was changed."
    ),
    "trainer-number": (
        "runs/trainer-number/checkpoints/step-000000009-...pt cannot be used. Cause: "
        "another release of layerdropback wrote it, though named ... as this one is: it "
        "has no part 'trainer'. Cure: use the release that wrote it; nothing was changed."
    ),
    "no-model": (
        "the checkpoint does not fit this run. Cause: Error(s) in loading state_dict for "
        "ResNet: ... Cure: resume with the release of layerdropback that wrote it."
    ),
    "model-number": (
        "the checkpoint does not fit this run. Cause: 'int' object has no attribute "
        "'items'. Cure: resume with the release of layerdropback that wrote it."
    ),
    "history-number": (
        "runs/history-number/checkpoints/step-000000009-...pt cannot be used. Cause: "
        "another release of layerdropback wrote it, though named ... as this one is: it "
        "has no part 'history'. Cure: use the release that wrote it; nothing was changed."
    ),
    "history-row": (
        "runs/history-row/checkpoints/step-000000009-...pt cannot be used. Cause: another "
        "release of layerdropback wrote it, though named ... as this one is: i... Cure: "
        "use the release that wrote it; nothing was changed."
    ),
    "no-export": (
        "runs/no-export/checkpoints/step-000000009-...pt cannot be used. Cause: another "
        "release of layerdropback wrote it, though named ... as this one is: it has no "
        "part 'export'. Cure: use the release that wrote it; nothing was changed."
    ),
    "export-number": (
        "runs/export-number/checkpoints/step-000000009-...pt cannot be used. Cause: "
        "another release of layerdropback wrote it, though named ... as this one is: it "
        "has no part 'export'. Cure: use the release that wrote it; nothing was changed."
    ),
    "format-tensor": (
        "no checkpoint in runs/format-tensor/checkpoints can be used. Cause: "
        "step-000000009-...pt is no checkpoint of ldb. Cure: put an intact one there, or "
        "begin again with --overwrite."
    ),
    "of-comparison": (
        "no checkpoint in runs/of-comparison/checkpoints can be used. Cause: "
        "step-000000009-...pt is of a comparison, not of a training. Cure: put an intact "
        "one there, or begin again with --overwrite."
    ),
    "generators": (
        "the checkpoint does not fit this run. Cause: it has no part 'torch'. Cure: resume "
        "with the release of layerdropback that wrote it."
    ),
    "ldb": (
        "the checkpoint does not fit this run. Cause: the state has no usable 'layers'. "
        "Cure: resume with the release of layerdropback that wrote it."
    ),
    "optimizer": (
        "the checkpoint does not fit this run. Cause: it has no part 'state'. Cure: resume "
        "with the release of layerdropback that wrote it."
    ),
    "tensor": (
        "no checkpoint in runs/tensor/checkpoints can be used. Cause: step-000000009-...pt "
        "is no checkpoint of ldb. Cure: put an intact one there, or begin again with "
        "--overwrite."
    ),
    "evil": (
        "runs/evil/checkpoints/step-000000009-...pt cannot be used. Cause: it holds more "
        "than tensors and plain values, and loading that could run code. Cure: find out "
        "where it comes from; nothing was changed."
    ),
    "evil-bare": (
        "no checkpoint in runs/evil-bare/checkpoints can be used. Cause: "
        "step-000000009-...pt is no checkpoint. Cure: put an intact one there, or begin "
        "again with --overwrite."
    ),
    "text": (
        "no checkpoint in runs/text/checkpoints can be used. Cause: step-000000009-...pt "
        "is no checkpoint. Cure: put an intact one there, or begin again with --overwrite."
    ),
    "lost": (
        "runs/lost has metrics of finished epochs, but no checkpoint. Cause: "
        "runs/lost/checkpoints was emptied or lost. Cure: put the checkpoints back, or "
        "begin again with --overwrite."
    ),
    "other-name": (
        "runs/other-name/checkpoints/last.pt cannot be used. Cause: another release of "
        "layerdropback than this one, ..., wrote it: its name is none that this release "
        "gives. Cure: use the release that wrote it; nothing was changed."
    ),
    "cut": (
        "no checkpoint in runs/cut/checkpoints can be used. Cause: step-000000008-...pt is "
        "damaged (1,000 bytes that do not have the checksum in its name). Cure: put an "
        "intact one there, or begin again with --overwrite."
    ),
    "zero": (
        "no checkpoint in runs/zero/checkpoints can be used. Cause: step-000000008-...pt "
        "is empty. Cure: put an intact one there, or begin again with --overwrite."
    ),
    "settings-typo": (
        "runs/settings-typo/settings.yaml sets 'epoks'. Cause: this release of "
        "layerdropback, ..., has no such setting. Cure: resume with the release that began "
        "it, or mend the file if it was edited."
    ),
    "settings-list": (
        "runs/settings-list/settings.yaml holds no settings. Cause: lines such as `epochs: "
        "10` are needed. Cure: mend the file."
    ),
    "settings-other": (
        "no checkpoint in runs/settings-other/checkpoints can be used. Cause: "
        "step-000000008-...pt is of another run (epochs is 10 here and 2 there; model is "
        "test_vit here and test_resnet there). Cure: put an intact one there, or begin "
        "again with --overwrite."
    ),
    "settings-empty": (
        "no checkpoint in runs/settings-empty/checkpoints can be used. Cause: "
        "step-000000008-...pt is of another run (batch_size is 64 here and 8 there; "
        "epochs... Cure: put an intact one there, or begin again with --overwrite."
    ),
    "a-file": "--out runs/a-file is a file. Cause: a run needs a folder. Cure: give another name.",
    "stopped --lr 0.3": (
        "the run in runs/stopped has other settings: --lr is 0.3 here and 0.05 there. "
        "Cause: resuming goes on with the same run. Cure: leave these flags out, or give "
        "another --out."
    ),
    "stopped --model resnet18 --epochs 9": (
        "the run in runs/stopped has other settings: --model is resnet18 here and "
        "test_resnet there; --epochs is 9 here and 2 there. Cause: resuming goes on with "
        "the same run. Cure: leave these flags out, or give another --out."
    ),
    "stopped --seed 5 --drop-rate 0.25": (
        "the run in runs/stopped has other settings: --drop-rate is 0.25 here and 0.5 "
        "there; --seed is 5 here and 0 there. Cause: resuming goes on with the same run. "
        "Cure: leave these flags out, or give another --out."
    ),
    "stopped --overwrite": (
        "--resume and --overwrite exclude each other. Cause: one keeps what is there. "
        "Cure: give one of them."
    ),
    "done --data cifar10": (
        "the run in runs/done has other settings: --data is cifar10 here and digits there. "
        "Cause: resuming goes on with the same run. Cure: leave these flags out, or give "
        "another --out."
    ),
    "machine-list --lr 3": (
        "the run in runs/machine-list has other settings: --lr is 3 here and 0.05 there. "
        "Cause: resuming goes on with the same run. Cure: leave these flags out, or give "
        "another --out."
    ),
}


@pytest.mark.parametrize("row", RESUME_ROWS)
def test_resume(row, refused):
    refused(RESUME + row, RESUME_ROWS[row])
