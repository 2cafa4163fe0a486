"""What others put around a model, and every private name of torch that is used."""
