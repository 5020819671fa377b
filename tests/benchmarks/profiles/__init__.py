"""Where the time goes in the rows that miss their target: `make profile`."""
