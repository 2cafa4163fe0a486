"""Fine-tuning on sentences."""
