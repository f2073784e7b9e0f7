"""How the fabric's processes tell of themselves: how long requests took, and what they write into logs.

Knows nothing of what the processes do; control and gateway share it.
"""
