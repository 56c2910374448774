"""One verb of the loop a module; a stage is a plain function."""
