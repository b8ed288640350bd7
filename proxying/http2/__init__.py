"""HTTP/2 towards upstreams, over the frame layer of the ``h2`` library (RFC 9113)."""
