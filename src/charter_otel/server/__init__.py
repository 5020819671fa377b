"""uvicorn as the service runs it: limits, patience with slow clients, and a clean stop."""
