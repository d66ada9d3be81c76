"""Fast operations share their work among threads and keep their bits."""
