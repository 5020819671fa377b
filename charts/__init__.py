"""The Helm chart, and what holds it to its word without a cluster."""
