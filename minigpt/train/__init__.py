"""Training: optimizer, schedules, shards in processes or threads, checkpoints, logs and the loop that uses them."""
