"""Who serves models: address, authentication, policy and quirks. Data where possible."""
