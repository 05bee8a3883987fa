"""Alembic's steps from nothing to the newest schema. `database.migrate` runs them; a released one stays as it is."""
