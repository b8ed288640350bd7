"""The gateway measured beside its peers: ``python -m benchmarks`` writes ``docs/benchmarks.md``.

No part of the product imports this package.
"""
