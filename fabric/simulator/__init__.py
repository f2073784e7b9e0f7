"""A cluster made of a heap and a virtual clock, behind the same ports as a real one."""
