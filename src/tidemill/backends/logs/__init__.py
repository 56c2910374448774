"""What reads the prediction log."""
