"""Results as CLIP_benchmark writes them, one file a task, which its `build` joins to a table.

    {"dataset", "model", "pretrained", "task", "metrics": {...}, "language"}

Read off its source (github.com/LAION-AI/CLIP_benchmark, cli.py and metrics/): the keys; `acc1`,
`acc5` and `mean_per_class_recall` of zeroshot_classification, the same with `lp_` of linear_probe;
`image_retrieval_recall@5` (text to image) and `text_retrieval_recall@5` (image to text) of
zeroshot_retrieval; `acc` of image_caption_selection. The task knn and its metrics are ours.
"""

from pathlib import Path
from typing import Any

from geomclip.evaluate.associations import AssociationEvaluation
from geomclip.evaluate.classification import Classification
from geomclip.evaluate.pairs import PairEvaluation
from geomclip.evaluate.tasks import SplitTasks, TaskResults

CAPTION_SELECTION = "image_caption_selection"


def benchmark_records(
    *,
    model: str,
    pretrained: str,
    language: str = "en",
    tasks: TaskResults | None = None,
    pairs: tuple[str, PairEvaluation] | None = None,
    associations: tuple[str, AssociationEvaluation] | None = None,
) -> list[dict[str, Any]]:
    """The objects of all results; where several splits were asked about, "data/split" names them.

    Args:
        model: the geometry's name, which its tables write before `pretrained`.
        pretrained: the SOURCE.
        pairs, associations: with the name of their data.
    """
    rows: list[tuple[str, str, dict[str, Any]]] = []
    if tasks is not None:
        for split, found in tasks.splits.items():
            name = tasks.data if len(tasks.splits) == 1 else f"{tasks.data}/{split}"
            rows += [(name, task, metrics) for task, metrics in _of_split(found)]
    if pairs is not None:
        for category, found_pairs in pairs[1].categories.items():
            rows.append(
                (f"{pairs[0]}/{category}", CAPTION_SELECTION, {"acc": found_pairs.accuracy})
            )
    if associations is not None:
        metrics = {"jaccard": associations[1].jaccard.value, "exact": associations[1].exact}
        rows.append((associations[0], "association", metrics))
    return [
        {
            "dataset": dataset,
            "model": model,
            "pretrained": pretrained,
            "task": task,
            "metrics": metrics,
            "language": language,
        }
        for dataset, task, metrics in rows
    ]


def file_name(record: dict[str, Any]) -> str:
    """A name for a record's file: dataset_pretrained_model_language_task.json."""
    keys = ("dataset", "pretrained", "model", "language", "task")
    parts = [str(record[key]) for key in keys]
    parts[1] = Path(parts[1]).name or parts[1]
    return "_".join(part.replace("/", "-").replace(" ", "-") for part in parts) + ".json"


def _of_split(found: SplitTasks) -> list[tuple[str, dict[str, Any]]]:
    rows = []
    if found.zeroshot is not None:
        rows.append(("zeroshot_classification", _accuracies(found.zeroshot)))
    if found.probe is not None:
        own = {
            "regularisation": found.probe.regularisation,
            "validation_accuracy": found.probe.validation,
        }
        rows.append(("linear_probe", _accuracies(found.probe.found, "lp_") | own))
    if found.knn is not None:
        metrics: dict[str, Any] = {}
        for count, one in found.knn.by_k.items():
            metrics |= _accuracies(one, f"knn{count}_")
        rows.append(("knn", metrics))
    for way, result in found.retrieval.items():
        suffix = "" if way == "all" else f"_{result.folds}_folds"
        metrics = {}
        for name, number in result.recall.items():
            direction, k = name.split("_r")
            kind = "image" if direction == "t2i" else "text"
            metrics[f"{kind}_retrieval_recall@{k}"] = number.value
        rows.append((f"zeroshot_retrieval{suffix}", metrics))
    return rows


def _accuracies(found: Classification, prefix: str = "") -> dict[str, Any]:
    return {
        f"{prefix}acc1": found.accuracy,
        f"{prefix}acc5": found.top5,
        f"{prefix}mean_per_class_recall": found.class_mean,
    }
