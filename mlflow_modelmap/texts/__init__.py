"""Text sets: reading, building, describing; never torch, never mlflow."""
