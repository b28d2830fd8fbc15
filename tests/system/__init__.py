"""The service as processes: server, workers, Redis and SMTP as a user would run them."""
