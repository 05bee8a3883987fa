"""HTTP/1.1 as clients speak it."""
