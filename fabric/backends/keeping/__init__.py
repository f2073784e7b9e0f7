"""Keep one Ray cluster, whatever its nodes are made of: what the backends share."""
