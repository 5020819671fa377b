"""Reaching a Redis: addresses, pools, scripts, replication; for every room that needs one."""
