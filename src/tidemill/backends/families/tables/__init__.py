"""What the tabular models share: columns, encoding, and saving without pickle."""
