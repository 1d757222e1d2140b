"""lm-eval's own tasks over invented rows: what its ConfigurableTask makes of them.

Arguments: a folder to write, how many tasks, the seed. Each task is a folder with the rows of its splits, a task.yaml that
includes the original one with these rows as its data, and expected.json: the kind, the shots, and of every row the arguments of
its requests, the target and, of options, the accuracy of each as the answer. Rows are tried until the task takes them.
"""

import json
import logging
import os
import random
import re
import sys
from pathlib import Path

logging.disable(logging.CRITICAL)
os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import lm_eval.tasks
from jinja2 import meta
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import _yaml_loader
from lm_eval.utils import env

datasets.disable_progress_bars()
# Python code stays a map, as files without it are wanted.
_yaml_loader._mk_function_ctor = lambda base, resolve: lambda loader, node: {"code": loader.construct_scalar(node)}

folder, wanted, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
root = Path(lm_eval.tasks.__file__).parent
texts = [
    "  Why is  the sky\tblue? ",
    "Line one.\nLine two's \"quoted\" text.",
    "中国的首都是哪里？",
    "three",
    "x [title] y",
    "don't",
    "l'été — Ça va",
    "“curly” 🙂 naïve",
    "7",
    "zero 0",
    "a\u00a0b\\n",
]
kinds = {
    "text": lambda r: r.choice(texts),
    "int": lambda r: r.randint(0, 1),
    "letter": lambda r: r.choice("AB"),
    "list": lambda r: [r.choice(texts) + str(j) for j in range(4)],
    "map": lambda r: {"text": [r.choice(texts) + str(j) for j in range(4)], "label": ["A", "B", "C", "D"]},
    "bool": lambda r: r.random() < 0.5,
    "float": lambda r: r.choice([0.5, 1.0, 2.25]),
    "digits": lambda r: str(r.randint(0, 1)),
    "written": lambda r: str(["p", "it's", "r"]),
}
guesses = [
    (r"choices|options|endings|candidates", ["list", "map", "written"]),
    (r"label|gold|answer|target|correct|idx", ["int", "letter", "text", "digits", "bool", "list"]),
    (r"", ["text", "text", "int", "list", "float"]),
]
answers = re.compile(r"label|gold|answer|target")
splits = ("training_split", "validation_split", "test_split", "fewshot_split")
fields = ("doc_to_text", "doc_to_target", "doc_to_choice", "description", "gen_prefix")
kinds_known = ("multiple_choice", "generate_until")


def columns(config):
    """The columns that a task's templates name; None if one is no template."""
    found = set()
    for one in [config, config.get("fewshot_config") or {}]:
        for value in (one.get(key) for key in fields):
            if not isinstance(value, str):
                continue
            try:
                found |= meta.find_undeclared_variables(env.parse(value))
            except Exception:
                return None
            if re.fullmatch(r"[A-Za-z_][\w ]*", value):
                found.add(value)
    return sorted(found - {"range", "dict", "namespace"})


def invented(names, of, r):
    what = {name: r.choice(next(k for pattern, k in guesses if re.search(pattern, name))) for name in names}
    rows = {split: [{name: kinds[what[name]](r) for name in names} for _ in range(7)] for split in of}
    for row in (row for some in rows.values() for row in some):
        lists = [row[name] for name in names if what[name] == "list"]
        for name in names:
            if what[name] == "text" and answers.search(name) and lists:
                row[name] = r.choice(lists[0])
    return rows


def expected(path, rows):
    config = {k: v for k, v in _yaml_loader.load_yaml(path).items() if k not in ("tag", "group", "task_list")}
    config.pop("filter_list", None)
    config.pop("metric_list", None)
    given = datasets.DatasetDict({split: datasets.Dataset.from_list(some) for split, some in rows.items()})
    ConfigurableTask.download = lambda self, *_, **__: setattr(self, "dataset", given)
    task = ConfigurableTask(config=config)
    first = task.fewshot_cfg.sampler == "first_n"
    shots = min(config.get("num_fewshot") or 2, 3) if first else 0
    found = []
    for doc in task.eval_docs:
        context = task.fewshot_context(doc, shots, gen_prefix=task.doc_to_prefix(doc))
        requests = task.construct_requests(doc, context, metadata=("task", 0, 1))
        requests = requests if isinstance(requests, list) else [requests]
        one = {"arguments": [list(request.args) for request in requests]}
        if task.OUTPUT_TYPE == "multiple_choice":
            one["options"] = task.doc_to_choice(doc)
            count = range(len(one["options"]))
            results = [task.process_results(doc, [(-1.0 * (i != best), False) for i in count]) for best in count]
            one["right"] = [best for best in count if results[best]["acc"] == 1.0]
            if not one["right"]:
                raise ValueError("no option is right")
        else:
            target = task.doc_to_target(doc)
            if task.config.doc_to_choice is not None:
                target = task.doc_to_choice(doc)[target]
            one["answers"] = [str(x) for x in (target if task.multiple_target else [target])]
        found.append(one)
    return {"path": str(path), "kind": task.OUTPUT_TYPE, "shots": shots, "documents": found}


paths = sorted(root.rglob("*.yaml"))
random.Random(seed).shuffle(paths)
done, seen = 0, set()
for path in paths:
    if done >= wanted:
        break
    try:
        config = _yaml_loader.load_yaml(path)
    except Exception:
        continue
    if not isinstance(config.get("task"), str) or "class" in config or '"code"' in json.dumps({**config, "metric_list": 0, "filter_list": 0}):
        continue
    if config.get("output_type", "generate_until") not in kinds_known:
        continue
    key = json.dumps([config.get(one) for one in fields])
    names = columns(config)
    of = {config.get(one) for one in splits} | {(config.get("fewshot_config") or {}).get("split")}
    of = sorted(split for split in of if split)
    if key in seen or not names or not of:
        continue
    seen.add(key)
    r = random.Random(path.name)
    for _ in range(80):
        rows = invented(names, of, r)
        try:
            found = expected(path, rows)
        except Exception:
            continue
        here = folder / str(done)
        here.mkdir(parents=True)
        for split, some in rows.items():
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in some)
            (here / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        data = {"data_files": {split: f"{split}.jsonl" for split in rows}}
        same = {"include": str(path), "dataset_path": "json", "dataset_name": None, "dataset_kwargs": data}
        # Metrics and filters change no prompt.
        metric = "acc" if found["kind"] == "multiple_choice" else "exact_match"
        same |= {"metric_list": [{"metric": metric, "aggregation": "mean"}], "filter_list": None, "repeats": 1}
        (here / "task.yaml").write_text(json.dumps(same))
        (here / "expected.json").write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
        done += 1
        break
print(done)
