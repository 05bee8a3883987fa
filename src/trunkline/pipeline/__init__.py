"""What accompanies one request on its way."""
