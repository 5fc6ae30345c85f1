"""`make bench`: measures the product and writes docs/performance.md."""
