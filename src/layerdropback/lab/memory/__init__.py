"""How much memory a training step takes: predicted without weights and GPU, or counted.

`predict` is the whole: `steps` are made, with a model of `fakes` and the mask of `worst`, and the
`ledger` counts. `command` predicts the `arms` of one of `subjects`, `adapting` and `optimizers`
among them, with `fitting` batches; `report` shows it.
"""
