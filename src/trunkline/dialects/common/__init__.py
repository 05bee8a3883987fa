"""Code that several dialects share. It imports no dialect."""
