"""From shards to what a network is given: samples, simulated views, UV maps."""
