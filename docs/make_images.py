"""Make the pictures that the README and the docs show, from the quickstart's runs.

Those of the real model are taken from where `make real-model` puts them, if it was run.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

import mlflow

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.chromium import MISSING, chromium
from tests.serving import serving

IMAGES = Path(__file__).parent / "images"
PICTURES = {
    "map": {"map_tsne.png": "map.png", "kl_heatmap.png": "kl_heatmap.png"},
    "trajectory": {"kl_previous.png": "kl_previous.png"},
    "scale": {"scale.png": "scale.png"},
}
REAL_MODEL = Path(__file__).parent.parent / ".cache" / "real_model"
PAIR = {"a": "tiny-128-seed1 step 512", "b": "tiny-64-seed1 step 1024"}
WIDTH, HEIGHT = 1280, 870


def main() -> None:
    """Take the latest finished run of each kind in the experiment `quickstart`."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("quickstart")
    if experiment is None:
        raise SystemExit("There is no experiment 'quickstart' here; run `make quickstart` first.")
    IMAGES.mkdir(exist_ok=True)
    latest = {}
    for kind, names in PICTURES.items():
        runs = client.search_runs(
            [experiment.experiment_id],
            f"tags.`modelmap.kind` = '{kind}' AND attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
        if not runs:
            raise SystemExit(f"The quickstart has no finished run of kind {kind!r}; run it again.")
        latest[kind] = runs[0].info.run_id
        for name, picture in names.items():
            path = client.download_artifacts(latest[kind], f"modelmap/{name}")
            shutil.copy(path, IMAGES / picture)
    take_page(latest["map"])
    for picture in sorted(REAL_MODEL.glob("real_model*.png")):
        shutil.copy(picture, IMAGES)


def take_page(run_id: str) -> None:
    """Serve the store that is set, open its map with two points, and keep what is seen."""
    from selenium.webdriver.support.ui import WebDriverWait

    chrome = chromium()
    if chrome is None:
        raise SystemExit(f"page.png was not made: {MISSING}.")
    store = mlflow.get_tracking_uri()
    options = ("--app-name", "modelmap", "--workers", "1")
    try:
        # Of two addresses of a store the last holds; the folder takes the server's log.
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(Path(folder), *options, "--backend-store-uri", store) as server,
        ):
            screen = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
            chrome.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
            chrome.get(f"{server}/modelmap/?{urlencode({'run': run_id, **PAIR})}")
            for found in ("#plot[data-members]", "#pair[data-pair]"):
                WebDriverWait(chrome, 60).until(
                    lambda c, found=found: c.find_elements("css selector", found)
                )
            chrome.save_screenshot(str(IMAGES / "page.png"))
    finally:
        chrome.quit()


if __name__ == "__main__":
    main()
