"""What is asked for, and the states it goes through; pure."""
