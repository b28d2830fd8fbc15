"""The contracts of what cabrank asks of others."""
