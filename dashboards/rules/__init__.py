"""Alert rules of Prometheus and Loki, generated from the registry's names."""
