"""Surface: `python -m mlflow_modelmap` is the `modelmap` command."""

from mlflow_modelmap.surfaces.cli import run

if __name__ == "__main__":
    run()
