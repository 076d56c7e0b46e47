"""Surface: the page beside the MLflow UI, as apps of `mlflow server`."""
