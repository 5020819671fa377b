"""The supply chain: `make sbom`, `make audit`."""
