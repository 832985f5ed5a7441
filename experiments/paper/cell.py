"""What a cell keeps beside its metrics: root distances, and what traversals meet."""

from collections.abc import Sequence
from typing import Any

import torch

from geomclip.analysis import root_distances
from geomclip.comparison.cells import Trained
from geomclip.comparison.measure import main_split, notes_of
from geomclip.data.pool import TextPool, build_pool
from geomclip.data.splits import EvalSplit, Splits
from geomclip.embeddings import Embeddings
from geomclip.encode import embed
from geomclip.evaluate.features import text_points
from geomclip.evaluate.items import names_of
from geomclip.traverse import traversal_statistics, traverse

# Pictures that ways start from, evenly spaced over those asked about, and how many are shown.
WAYS = 200
SHOWN = 4
# Captions that may be met, evenly spaced over the split's, at most.
CAPTIONS = 2000


def measured(trained: Trained) -> dict[str, Any]:
    """The further entries of a cell: what figures 2 to 5 are drawn from."""
    name = main_split(trained.splits.evaluation)
    split = trained.splits.evaluation[name]
    asked = split.pool.subset(split.query.tolist())
    e = embed(
        trained.model,
        asked,
        captions="first" if trained.splits.keywords else "all",
        levels=trained.splits.levels,
    )
    chance = {
        r.metric: round(r.value, 6)
        for r in trained.evaluation.references
        if (r.reference, r.split) == ("chance", name)
    }
    found = trained.evaluation.splits[name]
    return {
        "final_layernorm": trained.run.config.model.final_layernorm,
        "data": trained.splits.name,
        "split": name,
        "queries": len(found.queries),
        "candidates": found.texts,
        "chance": chance,
        "tau_texts": round(found.tau_texts.mean().item(), 6) if len(found.tau_texts) else None,
        "notes": notes_of(trained.records),
        "step_cpu_seconds": step_cost(trained.records),
        "roots": roots(e),
        "traversal": ways(trained, split, e),
    }


def step_cost(records: Sequence[dict[str, Any]]) -> float | None:
    """CPU seconds of a step, without what comes before the first line of metrics.jsonl."""
    if len(records) < 2:
        return None
    first, last = records[0], records[-1]
    return rounded((last["cpu_seconds"] - first["cpu_seconds"]) / (last["step"] - first["step"]))


def roots(e: Embeddings) -> dict[str, Any]:
    """Medians of the root distances, how far pictures and texts are apart, their histograms."""
    found = root_distances(e)
    (chart,) = found.charts()[1:]
    return {
        "unit": found.unit,
        "median": {series: rounded(m.value) for series, m in found.median.items()},
        "farther": rounded(found.farther.value) if found.farther else None,
        "overlap": rounded(found.overlap.value) if found.overlap else None,
        "histogram": {trace["name"]: [trace["x"], trace["y"]] for trace in chart.spec["data"]},
    }


def pool_of(split: EvalSplit) -> TextPool:
    """The split's captions and labels, and WordNet's common words."""
    captions = list(dict.fromkeys(filter(None, names_of(split.pool))))
    taken = min(len(captions), CAPTIONS)
    captions = [captions[i * len(captions) // taken] for i in range(taken)]
    return build_pool(["captions", "labels", "words"], captions, split.pool.paths)


def ways(trained: Trained, split: EvalSplit, e: Embeddings) -> dict[str, Any]:
    """Ways from pictures to the root without a filter by cones, as figure 5 has them; those of a
    few pictures in full."""
    pool = pool_of(split)
    points = text_points(trained.model, pool.prompts).of(pool.prompts)
    n = len(e["image"])
    wanted = min(n, WAYS)
    rows = [i * n // wanted for i in range(wanted)]
    shown = shown_rows(trained.splits)
    found = traverse(e.geometry, e["image"][[*rows, *shown]], pool.texts, points.cpu())
    statistics = traversal_statistics(found[:wanted], len(pool)).to_dict()
    return {
        "captions": rounded(statistics["captions"]["value"]),
        "only_root": rounded(statistics["only_root"]["value"]),
        **{k: statistics[k] for k in ("ways", "distinct", "pool", "distribution")},
        "shown": [[[m.text, round(m.at, 3)] for m in way.met] for way in found[wanted:]],
    }


def shown_rows(splits: Splits) -> list[int]:
    """Places among the main split's queries of the pictures that are shown, drawn at random."""
    split = splits.evaluation[main_split(splits.evaluation)]
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(len(split.query), generator=generator)[:SHOWN].tolist()


def rounded(value: float) -> float:
    """Five significant digits."""
    return float(f"{value:.5g}")
