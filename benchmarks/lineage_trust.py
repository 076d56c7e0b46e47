"""How far measured lineage can be trusted: families whose parents are known because we made them.

Two models are trained from scratch on Python's documentation; each gets children fine-tuned on
text of their own, siblings fine-tuned on the same text, grandchildren, copies with noise on their
weights, and merges. All are scored on held-out documentation. For every child the table says how
often the true parent is the nearest candidate, and how often a false claim is found out.

    python benchmarks/lineage_trust.py            some minutes on two cores
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "projects" / "quickstart"))

SHARDS = 6
SHORT, LONG = 16, 96
SEPARATE, SHARED, BELOW, NOISE = (
    "fine-tune on text of its own",
    "fine-tune on the same text as a sibling",
    "fine-tune of a fine-tune",
    "noise on the weights",
)


def make_families(
    folder: Path, steps: int
) -> tuple[dict[str, str], dict[str, str], list[tuple[str, str, str]]]:
    """Train everything: parent and kind of each child, by name, and (merge, parent, parent)."""
    from training import encode, train, train_tokenizer

    from mlflow_modelmap.texts.sources.python_docs import python_docs_corpus

    documents = python_docs_corpus()
    tokenizer = folder / "tokenizer"
    train_tokenizer(documents, tokenizer)
    encode(documents, tokenizer, folder / "all.safetensors")
    for shard in range(SHARDS):
        encode(documents[shard::SHARDS], tokenizer, folder / f"{shard}.safetensors")
    parent: dict[str, str] = {}
    kind: dict[str, str] = {}
    merges = []

    def tune(name: str, above: str, what: str, shard: int, last: int, seed: int) -> None:
        train(
            folder / name,
            folder / f"{shard}.safetensors",
            tokenizer,
            [last],
            seed=seed,
            parent=where(folder, above),
            peak=1e-3,
        )
        (folder / name / f"step{last}").rename(folder / name / "final")
        parent[name], kind[name] = above, what

    for seed in (0, 1):
        base = f"base{seed}"
        train(folder / base, folder / "all.safetensors", tokenizer, [steps], seed=seed)
        (folder / base / f"step{steps}").rename(folder / base / "final")
        for k, (shard, last) in enumerate([(0, SHORT), (1, LONG), (2, SHORT), (3, LONG)]):
            tune(f"{base}-own{k}", base, SEPARATE, shard, last, 10 + k)
        for k in range(2):
            tune(f"{base}-same{k}", base, SHARED, 4, LONG, 20 + k)
        for k, last in ((0, LONG), (1, SHORT)):
            tune(f"{base}-own{k}-again", f"{base}-own{k}", BELOW, 5, last, 30 + k)
        for k, size in enumerate((0.01, 0.05)):
            name = f"{base}-noise{k}"
            perturb(where(folder, f"{base}-own2"), folder / name / "final", size, seed=40 + k)
            parent[name], kind[name] = f"{base}-own2", NOISE
        pair = (f"{base}-own1", f"{base}-own3")
        average([where(folder, p) for p in pair], folder / f"{base}-merge" / "final")
        merges.append((f"{base}-merge", *pair))
    return parent, kind, merges


def where(folder: Path, name: str) -> Path:
    """A model's directory."""
    return folder / name / "final"


def perturb(source: Path, target: Path, size: float, seed: int) -> None:
    """Add noise of a share of each tensor's own spread."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    change(
        [source],
        target,
        lambda tensors: (
            tensors[0]
            + size
            * tensors[0].std(correction=0)
            * torch.randn(tensors[0].shape, generator=generator)
        ),
    )


def average(sources: list[Path], target: Path) -> None:
    """The mean of the weights."""
    change(sources, target, lambda tensors: sum(tensors) / len(tensors))


def change(sources: list[Path], target: Path, of) -> None:
    """A copy of the first model with other weights."""
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(sources[0], target)
    states = [load_file(source / "model.safetensors") for source in sources]
    made = {name: of([state[name] for state in states]).contiguous() for name in states[0]}
    save_file(made, target / "model.safetensors", metadata={"format": "pt"})


def score_all(folder: Path, names: list[str]):
    """The matrix of all models on held-out documentation."""
    from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
    from mlflow_modelmap.scoring.engine.score_texts import score_texts
    from mlflow_modelmap.scoring.model.folder import local_files
    from mlflow_modelmap.scoring.settings import ScoringSettings
    from mlflow_modelmap.texts.sources.python_docs import python_docs

    texts = python_docs()
    settings = ScoringSettings(precision="float32", device="cpu")
    scores = [score_texts(local_files(where(folder, n)), texts, settings) for n in names]
    return LogLikelihoodMatrix(
        np.stack([score.log_likelihoods for score in scores]), tuple(names), scores[0].bytes
    )


def report(matrix, parent: dict[str, str], kind: dict[str, str], merges) -> None:
    """Print how the claims fare, on all texts and on fewer."""
    from mlflow_modelmap.drivers.lineage.measured import nearest_gaps
    from mlflow_modelmap.drivers.lineage.table import AGREES, CLOSE, NEARER, verdict
    from mlflow_modelmap.numerics.divergence.kl import kl_matrix
    from mlflow_modelmap.numerics.lineage.agreement import compare_trees
    from mlflow_modelmap.numerics.lineage.claimed_graph import lineage, nearest_candidates
    from mlflow_modelmap.numerics.lineage.measured_tree import (
        minimum_spanning_tree,
        neighbour_joining,
    )
    from mlflow_modelmap.numerics.matrix.coordinates import coordinates

    names = list(matrix.points)
    merged = {name: tuple(parents) for name, *parents in merges}
    rng = np.random.default_rng(0)
    count = matrix.values.shape[1]
    for size in (50, 150, count):
        seen = matrix.keep_texts(np.sort(rng.permutation(count)[:size]))
        q = coordinates(seen)
        values = kl_matrix(q)
        kl = pd.DataFrame(values, names, names)
        graph = lineage(names, {**{c: (p,) for c, p in parent.items()}, **merged})
        near = nearest_candidates(graph, kl)
        found = compare_trees(
            graph, names, near, minimum_spanning_tree(values), neighbour_joining(values)
        )
        gaps = nearest_gaps(graph, names, q, near)
        print(f"\n{size} texts, {len(names)} models")
        print(
            f"  true parent nearest {found.nearest}/{found.claimed}; in the spanning tree "
            f"{found.spanning}/{found.claimed} ({found.steps:.2f} steps); families joined "
            f"{found.joined}/{found.families}"
        )
        for what in dict.fromkeys(kind.values()):
            children = [c for c in parent if kind[c] == what]
            said = [verdict(parent[c], near[c], gaps.get((c, parent[c]))) for c in children]
            levels = [kl.at[c, parent[c]] for c in children]
            print(
                f"  {what:40} KL to parent {min(levels):.2g} to {max(levels):.2g}; nearest "
                f"{said.count(AGREES)}, too close to tell {said.count(CLOSE)}, another nearer "
                f"{said.count(NEARER)} of {len(said)}"
            )
        for label, same in (("another model of the family", True), ("the other family", False)):
            said = []
            for child in parent:
                for false in names:
                    if false in (child, parent[child]) or false in merged:
                        continue
                    if (false[:5] == child[:5]) is not same or false in graph.descendants(child):
                        continue
                    claims = {**{c: (p,) for c, p in parent.items()}, **merged, child: (false,)}
                    claimed = lineage(names, claims)
                    other = nearest_candidates(claimed, kl)
                    gap = nearest_gaps(claimed, names, q, other).get((child, false))
                    said.append(verdict(false, other[child], gap))
            print(
                f"  false claim, {label:27} found out {said.count(NEARER)}, too close to tell "
                f"{said.count(CLOSE)}, believed {said.count(AGREES)} of {len(said)}"
            )
        for name, *parents in merges:
            order = kl.loc[name].drop(name).sort_values().index[:2]
            print(f"  merge {name}: nearest two {', '.join(order)}; made of {', '.join(parents)}")


def main() -> None:
    """Make, score, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="Keep the models here.")
    parser.add_argument("--steps", type=int, default=384, help="Training steps of the two bases.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        parent, kind, merges = make_families(folder, asked.steps)
        names = [
            *dict.fromkeys(p for p in parent.values() if p not in parent),
            *parent,
            *(name for name, *_ in merges),
        ]
        report(score_all(folder, names), parent, kind, merges)


if __name__ == "__main__":
    main()
