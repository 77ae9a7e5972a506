"""What a face model of a published mesh takes over from another one, by correspondence."""
