"""The vocabulary. Every dialect is translated to and from what is defined here; it imports nothing of ours."""
