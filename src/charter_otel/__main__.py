"""``python -m charter_otel``: the command line."""

from charter_otel.cli import main

if __name__ == "__main__":
    main()
