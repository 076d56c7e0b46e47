"""Make every picture that the README and the docs show: `make images`, or some parts of it by name.

    python docs/make_images.py [quickstart] [screens] [real-model]

- quickstart: from the store that `make quickstart` filled (MLFLOW_TRACKING_URI, or mlflow.db).
  A study that it lacks is made first from the scores that are there, by the command in `STUDIES`.
- screens: the page and the MLflow UI on that store, as Chromium shows them.
- real-model: taken from .cache/real_model, where `make real-model` puts them.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import mlflow

sys.path.insert(0, str(Path(__file__).parent.parent))

from mlflow_modelmap import load_map
from tests.chromium import MISSING, chromium
from tests.serving import serving

ROOT = Path(__file__).parent.parent
EXPERIMENT = "quickstart"
IMAGES = Path(__file__).parent / "images"
REAL_MODEL = ROOT / ".cache" / "real_model"
REAL_PICTURES = ("real_model.png", "real_model_map.png", "prompt_directions.png")
PARTS = ("quickstart", "screens", "real-model")
WIDEST, LARGEST = 1280, 200_000
"""Pixels and bytes of a picture."""


class Study(NamedTuple):
    """A kind of run, which of its pictures are taken as what, and the command that makes one."""

    kind: str
    pictures: dict[str, str]
    command: tuple[str, ...] = ()


LARGE = "tiny-128-seed1"
STUDIES = (
    Study("map", {"map_tsne": "map", "kl_heatmap": "kl_heatmap", "bits_per_byte": "bits_per_byte"}),
    Study("trajectory", {"kl_previous": "kl_previous", "exponents": "exponents"}),
    Study("scale", {"scale": "scale"}),
    Study(
        "quantization",
        {"kl": "quantisation"},
        ("quantization", "--experiment", EXPERIMENT, "--exact", "--exact-texts", "16"),
    ),
    Study("exact", {"token_kl": "exact"}),  # the study of quantised copies made it
    Study("layers", {"profiles": "layers"}, ("layers", "--experiment", EXPERIMENT)),
    Study(
        "lineage",
        {"lineage_tree": "lineage"},
        ("lineage", "--registered-models", "name LIKE 'tiny-%'"),
    ),
    Study(
        "gate",
        {"gate": "gate"},
        (
            *("gate", f"{LARGE} step 448", "--reference", f"{LARGE} step 512"),
            *("--texts", "python-docs:{texts}", "--max-kl", "0.5"),
            *("--max-bits-per-byte-increase", "0.01", "--experiment", EXPERIMENT),
        ),
    ),
    Study(
        "weights",
        {"weight_distance_previous": "weights"},
        (
            *("weights", "--experiment", EXPERIMENT),
            *("--filter", f"tags.`modelmap.trajectory` = '{LARGE}'"),
        ),
    ),
)
PAIR = {"a": f"{LARGE} step 256", "b": "tiny-64-seed1 step 512"}
WIDTH, HEIGHT = 1280, 870


def main(parts: Sequence[str]) -> None:
    """Make the parts that are named, or all."""
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise SystemExit(
            f"There is no part {sorted(unknown)[0]!r}; name one of {', '.join(PARTS)}."
        )
    wanted = parts or PARTS
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    IMAGES.mkdir(exist_ok=True)
    if "quickstart" in wanted:
        of_quickstart()
    if "screens" in wanted:
        screens(latest("map"))
    if "real-model" in wanted:
        of_real_model()


def of_quickstart() -> None:
    """The pictures of the latest finished run of each kind, made first where there is none."""
    texts = load_map(latest("map")).texts
    for study in STUDIES:
        run_id = found(study.kind)
        if run_id is None and study.command:
            make([part.format(texts=texts) for part in study.command])
        run_id = latest(study.kind)
        for artifact, picture in study.pictures.items():
            with tempfile.TemporaryDirectory() as folder:
                path = mlflow.artifacts.download_artifacts(
                    run_id=run_id, artifact_path=f"modelmap/{artifact}.png", dst_path=folder
                )
                keep(Path(path).read_bytes(), picture)


def make(command: Sequence[str]) -> None:
    """Run a command on the store that is set; a gate that fails is a verdict, and no error."""
    done = subprocess.run(
        [sys.executable, "-m", "mlflow_modelmap", *command],
        cwd=ROOT,
        env=os.environ
        | {"MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(), "MLFLOW_EXPERIMENT_NAME": EXPERIMENT},
        capture_output=True,
        text=True,
    )
    if done.returncode and not (command[0] == "gate" and done.returncode in (1, 2)):
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SystemExit(f"modelmap {command[0]} failed: {said[-1] if said else 'no word'}")


def found(kind: str) -> str | None:
    """The latest finished run of a kind in the quickstart's experiment."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        raise SystemExit(
            f"There is no experiment {EXPERIMENT!r} in {mlflow.get_tracking_uri()}; run "
            "`make quickstart` first."
        )
    runs = client.search_runs(
        [experiment.experiment_id],
        f"tags.`modelmap.kind` = '{kind}' AND attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return runs[0].info.run_id if runs else None


def latest(kind: str) -> str:
    """That run, or a refusal."""
    run_id = found(kind)
    if run_id is None:
        raise SystemExit(f"The quickstart has no finished run of kind {kind!r}; run it again.")
    return run_id


def keep(png: bytes, name: str) -> None:
    """Write a picture, narrower until its file is small enough; its colours stay."""
    from PIL import Image

    whole = Image.open(io.BytesIO(png)).convert("RGB")
    width = min(whole.width, WIDEST)
    while True:
        size = (width, round(whole.height * width / whole.width))
        image = whole if size == whole.size else whole.resize(size, Image.Resampling.LANCZOS)
        written = io.BytesIO()
        image.save(written, "PNG", optimize=True)
        if written.tell() <= LARGEST:
            break
        width = round(0.9 * width)
    (IMAGES / f"{name}.png").write_bytes(written.getvalue())


def screens(run_id: str) -> None:
    """Serve the store that is set, and keep what the page and the MLflow UI show of its map."""
    chrome = chromium()
    if chrome is None:
        raise SystemExit(f"page.png and ui.png were not made: {MISSING}.")
    store = mlflow.get_tracking_uri()
    experiment = mlflow.get_run(run_id).info.experiment_id
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
            seen(chrome, "#plot[data-members]", "#pair[data-pair]")
            keep(chrome.get_screenshot_as_png(), "page")
            run = f"#/experiments/{experiment}/runs/{run_id}"
            chrome.get(f"{server}/{run}/artifacts/modelmap/map.html")
            seen(chrome, "iframe")
            # The artifact's path is one of the machine that the picture was made on.
            chrome.execute_script(
                "for (const e of document.querySelectorAll('*'))"
                " if (!e.children.length && /(^|\\s)(\\/|file:)\\S*mlruns|^Path:/"
                ".test(e.textContent)) e.style.visibility = 'hidden'"
            )
            # What the UI offers beside it takes half of the width.
            chrome.execute_script(
                "document.querySelectorAll('button[aria-label*=\"lose\" i]')"
                ".forEach((button) => button.click())"
            )
            chrome.switch_to.frame(chrome.find_element("css selector", "iframe"))
            seen(chrome, "#plot .legendtext")
            chrome.switch_to.default_content()
            keep(chrome.get_screenshot_as_png(), "ui")
    finally:
        chrome.quit()


def seen(chrome: Any, *selectors: str) -> None:
    """Wait until each of them is there."""
    from selenium.webdriver.support.ui import WebDriverWait

    for selector in selectors:
        WebDriverWait(chrome, 120).until(
            lambda c, selector=selector: c.find_elements("css selector", selector)
        )


def of_real_model() -> None:
    """Take what `make real-model` made."""
    missing = [name for name in REAL_PICTURES if not (REAL_MODEL / name).exists()]
    if missing:
        raise SystemExit(
            f"{', '.join(missing)} stay as they are, because {REAL_MODEL.relative_to(ROOT)} has "
            "none; run `make real-model` first (an hour or more)."
        )
    for name in REAL_PICTURES:
        keep((REAL_MODEL / name).read_bytes(), Path(name).stem)


if __name__ == "__main__":
    main(sys.argv[1:])
