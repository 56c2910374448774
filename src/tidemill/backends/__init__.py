"""One file a backend; its file name is its key."""
