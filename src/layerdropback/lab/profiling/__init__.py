"""Where a step's time goes, and what dropping would save of it.

`profile` is the whole; `bench` times steps, `blocks` what each block takes; `cost` counts FLOPs,
with `corrections` to torch's counter; `saving` predicts and measures what the ways of `trying` to
drop save; `report` shows it.
"""
