"""What is drawn, searched and changed before it is chosen equals what is worked out by hand."""
