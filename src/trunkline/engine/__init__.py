"""A generation, carried out: plans, attempts, credentials, records."""
