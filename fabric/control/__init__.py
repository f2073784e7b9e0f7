"""The running service: where the parts meet, and the process of the loop."""
