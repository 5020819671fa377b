"""The OpenTelemetry SDK as the service sets it up."""
