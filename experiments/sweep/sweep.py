"""Sweep the embedded set's recipe: the same number of trials for every geometry, judged on Noto v1.

    python experiments/sweep/sweep.py experiments/sweep/learning_rates.toml

A grid file names the geometries, the steps, and for each geometry the settings to try; every trial
trains on Noto, Fluent and EmojiOne (`data.protocol = "tuning"`) and is scored on the validation
rendition. The test rendition is never read. Finished trials are kept in `<grid>.jsonl` beside the
grid and are not run again; the table in `<grid>.md` is written anew after each.
"""

import argparse
import itertools
import json
import os
import tempfile
import tomllib
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.progress import Progress

SHOWN = (
    "i2t_r1", "i2t_r10", "t2i_r10", "zeroshot_group_acc", "zeroshot_subgroup_acc", "root_tau",
    "cone_own_group", "cone_other_group", "cone_aperture_group", "cone_auc_group",
)  # fmt: skip


def trials(grid: dict[str, Any]) -> list[dict[str, Any]]:
    """Every trial of a grid: geometry, entailment and the settings that differ from the recipe."""
    found = []
    for geometry, axes in grid["geometries"].items():
        if isinstance(axes, list):  # settings written out one by one
            choices = axes
        else:
            choices = [dict(zip(axes, v, strict=True)) for v in itertools.product(*axes.values())]
        for choice in choices:
            settings = {**grid.get("common", {}), **choice}
            entailment = settings.pop("entailment", 0.0)
            found.append({"geometry": geometry, "entailment": entailment, "settings": settings})
    return found


def nested(settings: dict[str, Any]) -> dict[str, Any]:
    """{"model.text.width": 96} as {"model": {"text": {"width": 96}}}."""
    out: dict[str, Any] = {}
    for key, value in settings.items():
        *folders, last = key.split(".")
        place = out
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return out


def run(trial: dict[str, Any]) -> dict[str, Any]:
    """Train one trial in a folder of its own and score it on the validation rendition."""
    from geomclip.data import load
    from geomclip.evaluate import evaluate
    from geomclip.loaders import load as load_model
    from geomclip.train import recipe, train
    from geomclip.train.config import update

    config = recipe(trial["geometry"], entailment=trial["entailment"])
    config = update(config, {"data": {"protocol": "tuning"}})
    config = update(config, nested(trial["settings"]))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        train(config, out)
        lines = (out / "metrics.jsonl").read_text().splitlines()
        model = load_model(out)
        splits = load(config.data, config.model.image.image_size)
        radius = config.min_radius if config.final_min_radius is None else config.final_min_radius
        result = evaluate(model, splits, min_radius=radius)
    metrics = {r.metric: round(r.value, 4) for r in result.rows if r.split == "validation"}
    last = json.loads(lines[-1])
    keep = ("loss", "logit_scale", "c", "alpha_image", "alpha_text", "satisfied", "cpu_seconds")
    return {**trial, "metrics": metrics, "last": {k: last[k] for k in keep if k in last}}


def table(grid: dict[str, Any], done: list[dict[str, Any]]) -> str:
    """The trials as markdown, best first within a geometry by mean R@10 of both directions."""
    names = [n for n in SHOWN if any(n in d["metrics"] for d in done)]
    lines = [f"# {grid['title']}", "", grid["about"].strip(), ""]
    lines += ["| geometry | settings | " + " | ".join(names) + " | loss | c | scale | CPU s |"]
    lines += ["|---|---|" + "---|" * (len(names) + 4)]

    def rank(entry: dict[str, Any]) -> tuple[str, float]:
        m = entry["metrics"]
        return entry["geometry"], -(m["i2t_r10"] + m.get("t2i_r10", m["i2t_r10"]))

    for entry in sorted(done, key=rank):
        settings = {**entry["settings"]}
        if entry["entailment"]:
            settings = {"entailment": entry["entailment"], **settings}
        common = grid.get("common", {})
        shown = ", ".join(f"{k} {v}" for k, v in settings.items() if common.get(k) != v)
        cells = [f"{entry['metrics'][n]:.3f}" if n in entry["metrics"] else "" for n in names]
        last = entry["last"]
        tail = [f"{last[k]:.3g}" if k in last else "" for k in ("loss", "c", "logit_scale")]
        tail.append(f"{last.get('cpu_seconds', 0):.0f}")
        lines.append(f"| {entry['geometry']} | {shown} | " + " | ".join(cells + tail) + " |")
    return "\n".join(lines) + "\n"


def key(trial: dict[str, Any]) -> str:
    return json.dumps([trial["geometry"], trial["entailment"], trial["settings"]], sort_keys=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grid", type=Path, help="TOML file with the trials")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="parallel trials")
    arguments = parser.parse_args()
    grid = tomllib.loads(arguments.grid.read_text(encoding="utf-8"))
    record = arguments.grid.with_suffix(".jsonl")
    done = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    wanted = trials(grid)
    finished = {key(d) for d in done}
    todo = [t for t in wanted if key(t) not in finished]
    os.environ["OMP_NUM_THREADS"] = "1"
    with (
        Progress() as progress,
        ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool,
    ):
        bar = progress.add_task(arguments.grid.stem, total=len(wanted), completed=len(finished))
        for future in as_completed([pool.submit(run, t) for t in todo]):
            done.append(future.result())
            with record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(done[-1]) + "\n")
            arguments.grid.with_suffix(".md").write_text(table(grid, done), encoding="utf-8")
            progress.advance(bar)
    arguments.grid.with_suffix(".md").write_text(table(grid, done), encoding="utf-8")


if __name__ == "__main__":
    main()
