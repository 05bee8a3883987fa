"""The HTTP server: routes, authentication, request parsing. Decisions are made in the packages below it."""
