"""What a training step holds in memory, counted to the byte, on real tensors or without any."""
