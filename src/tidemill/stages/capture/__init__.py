"""What somebody else's script reads, writes, prints and measures, seen from outside while it runs."""
