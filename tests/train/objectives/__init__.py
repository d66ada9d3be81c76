"""What each family learns from: batches, losses, measures, samples."""
