"""One module for each page: what it asks control, and what it shows of the answer."""
