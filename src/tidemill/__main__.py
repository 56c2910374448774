"""`python -m tidemill`."""

from tidemill.cli import entry

if __name__ == "__main__":
    entry()
