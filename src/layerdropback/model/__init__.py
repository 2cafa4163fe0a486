"""What there is: a model's layers, their order, their costs, read from its autograd graph."""
