"""API routes other than inference, one file per resource."""
