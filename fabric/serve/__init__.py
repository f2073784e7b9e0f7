"""Engines behind one protocol, and the replicas, routes and scales around them."""
