"""Which layers a step drops: functions of the seed, the step and what is known of the model."""
