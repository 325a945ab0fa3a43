"""The same service on a cluster, by Ray Serve; see docs/scale.md. The tutorial doesn't install what it needs."""
