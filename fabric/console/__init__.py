"""Web pages for people: a client of the public API, with the rights of whoever looks."""
