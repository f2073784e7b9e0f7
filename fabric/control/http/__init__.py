"""HTTP routes: they answer from the store and are no proxies to a head."""
