"""What each command takes. These modules import nothing that computes, so that a command's help comes at once."""
