"""What an evaluation report holds and how it looks: measured once, kept as a record, drawn as one HTML page."""
