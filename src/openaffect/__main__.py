"""`python -m openaffect` is the command `openaffect`."""

from openaffect.cli import main

if __name__ == "__main__":
    main()
