"""What the benchmarks share: flags, cards, facts of the machine, quartiles and turns."""
