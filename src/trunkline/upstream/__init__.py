"""A plan, carried out: the transport (`http1`, `pool`, `proxy`, `encoding`) and what is built on it."""
