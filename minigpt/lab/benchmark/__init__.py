"""Measuring speed: contestants in processes of their own, timed in turn, compared round by round."""
