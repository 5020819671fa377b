"""uvicorn as the service runs it: limits, time-outs for slow clients, and a clean stop."""
