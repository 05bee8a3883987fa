"""What can be had, where, and for how much."""
