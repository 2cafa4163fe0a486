"""What is said of spoiled checkpoints, whatever they are wanted for."""

# By the run's folder, see `spoiled.runs`.
CHECKPOINTS = {
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
    "history-number": (
        "runs/history-number/checkpoints/step-000000009-...pt cannot be used. Cause: "
        "another release of layerdropback wrote it, though named ... as this one is: it "
        "has no part 'history'. Cure: use the release that wrote it; nothing was changed."
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
    "cut": (
        "no checkpoint in runs/cut/checkpoints can be used. Cause: step-000000008-...pt is "
        "damaged (1,000 bytes that do not have the checksum in its name). Cure: put an "
        "intact one there, or begin again with --overwrite."
    ),
    "zero": (
        "no checkpoint in runs/zero/checkpoints can be used. Cause: step-000000008-...pt "
        "is empty. Cure: put an intact one there, or begin again with --overwrite."
    ),
}
