"""The near side: HTTP in, routes, authentication. It parses, calls and writes; it decides nothing."""
