"""Every family equals PyTorch and transformers: logits, losses, gradients, generated ids."""
