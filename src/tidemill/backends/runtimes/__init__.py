"""What runs an exported model."""
