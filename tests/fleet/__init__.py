"""Groups on real clusters of etcd; run by `make test-fleet`."""
