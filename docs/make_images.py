"""Copy the pictures that the README shows from the quickstart's runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import mlflow

IMAGES = Path(__file__).parent / "images"
PICTURES = {
    "map": {"map_tsne.png": "map.png", "kl_heatmap.png": "kl_heatmap.png"},
    "trajectory": {"kl_previous.png": "kl_previous.png"},
    "scale": {"scale.png": "scale.png"},
}


def main() -> None:
    """Take the latest finished run of each kind in the experiment `quickstart`."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("quickstart")
    if experiment is None:
        raise SystemExit("There is no experiment 'quickstart' here; run `make quickstart` first.")
    IMAGES.mkdir(exist_ok=True)
    for kind, names in PICTURES.items():
        runs = client.search_runs(
            [experiment.experiment_id],
            f"tags.`modelmap.kind` = '{kind}' AND attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
        if not runs:
            raise SystemExit(f"The quickstart has no finished run of kind {kind!r}; run it again.")
        for name, picture in names.items():
            path = client.download_artifacts(runs[0].info.run_id, f"modelmap/{name}")
            shutil.copy(path, IMAGES / picture)


if __name__ == "__main__":
    main()
