"""One file a command; each defines `command`. The first line of its docstring is its line in the help."""
