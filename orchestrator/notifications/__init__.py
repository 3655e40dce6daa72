"""E-mail: composed, kept with the change it tells of, sent by the durable queue."""
