"""Request + catalog + health → ordered endpoints. Pure."""
