"""Routing: the endpoints for a request, in the order in which they are tried. Pure."""
