"""Search for better settings: a study by Optuna, its trials in worker processes."""
