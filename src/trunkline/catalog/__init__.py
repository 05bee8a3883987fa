"""The catalog: models, their endpoints and their prices."""
