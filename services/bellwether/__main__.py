"""`python -m bellwether`: the command line."""

from bellwether.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
