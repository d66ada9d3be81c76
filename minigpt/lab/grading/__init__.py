"""`minigpt exercises release` and `grade`: notebooks for students, and a verdict on every answer that comes back."""
