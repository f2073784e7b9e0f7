"""HTI-14: fourteen days of training, inference and CPU work on one site; what it asks for and how a run is measured."""
