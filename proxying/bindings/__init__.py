"""Bindings turn what a server hands over into an ``Exchange`` and an ``Answer`` into bytes."""
