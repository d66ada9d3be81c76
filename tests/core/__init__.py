"""What everything stands on: the backend, memory that is used again, how many cores are ours."""
