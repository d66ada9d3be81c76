"""The exercises as a course has them: given out, and graded without trusting the answers."""
