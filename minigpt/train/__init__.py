"""Training: optimizer, schedules, shard threads, checkpoints, logs and the loop that uses them."""
