"""The model server: runtime only, no torch, pandas, mlflow, hydra or dvc behind any import."""
