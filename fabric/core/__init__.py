"""Words everyone shares: quantities, resource vectors, places, names, errors. Standard library only."""
