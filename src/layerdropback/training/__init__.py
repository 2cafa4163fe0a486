"""The trainer behind ``ldb train``, and where to look for what.

Read `loop` first. Like timm's ``train.py`` it has the model, the data, the optimizer, the schedule
and the loop, in this order, and calls the rest:

- Model: `network` makes it with its first weights, out of `models` (timm's, for a data set),
  `stems` (for small images), `model_args`, `pretrained` (timm's weights) and `initial` (a file's).
- Data: `images`, and `inputs`, what a network wants of them.
- Optimizer and schedule: `optimizing`; `epochs` says which epochs drop and how long each is.
- Step: `step`, with `precision`, `norms` (BatchNorm at rest), `compiling`, and the times of its
  `phases`. `workers` are the processes that make it together, `parallel` their replicas or shards.
- Numbers: `metrics` of an epoch, `evaluate` on the test images.

Round it: `run` holds a run in its folder, stops it and resumes it. `run_folder` says whose run is
there, `journal` writes its numbers, `progress` says them. `export` writes weights, and `deploy` is
``ldb export`` and ``ldb evaluate``.

Settings: `config` has each one with its default and its help, `dropping` those of LayerDropBack;
`flag` is what both say of theirs. `checks` looks at the values, `recipes` has sets of them by name,
and `settings_file` reads and writes them.
"""
