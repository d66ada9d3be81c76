"""Other programs' files open, and come back as they were; damaged ones are refused."""
