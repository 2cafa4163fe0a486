"""How a mask holds in torch: flags, switches, hooks, factors and checks."""
