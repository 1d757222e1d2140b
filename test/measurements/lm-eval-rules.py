"""lm-eval's own rules over questions from standard input: accuracy, probability mass, filters.

Input: {"options": [{"options", "gold", "scores"}], "mass": [{"labels", "scores"}], "texts": [{"task", "answer", "text"}]}, where
gold is an index or a list of them and task the path of a task file. Output: {"options": [[acc, acc_norm]], "mass": [mc2],
"texts": [{name of a filter: exact_match}]}.
"""

import json
import sys
from types import SimpleNamespace

from lm_eval.api.metrics import exact_match_fn
from lm_eval.api.task import ConfigurableTask
from lm_eval.filters import build_filter_ensemble
from lm_eval.tasks import _yaml_loader
from lm_eval.tasks.truthfulqa.utils import process_results_mc2

given = json.load(sys.stdin)


def options(question):
    several = isinstance(question["gold"], list)
    task = SimpleNamespace(
        OUTPUT_TYPE="multiple_choice",
        config=SimpleNamespace(process_results=None, doc_to_choice=None),
        _metric_fn_list={"acc": None, "acc_norm": None},
        multiple_input=0,
        multiple_target=len(question["gold"]) if several else 0,
        doc_to_choice=lambda doc: doc["options"],
        doc_to_target=lambda doc: doc["gold"],
    )
    results = [(score, False) for score in question["scores"]]
    found = ConfigurableTask.process_results(task, question, results)
    return [found["acc"], found["acc_norm"]]


def mass(question):
    doc = {"mc2_targets": {"labels": question["labels"]}}
    return float(process_results_mc2(doc, [(score, False) for score in question["scores"]])["acc"])


configs = {}


def written(one):
    path = one["task"]
    if path not in configs:
        configs[path] = _yaml_loader.load_yaml(path, resolve_func=False)
    config = configs[path]
    metric = next(m for m in config["metric_list"] if m["metric"] == "exact_match")
    how = {k: v for k, v in metric.items() if k not in ("metric", "aggregation", "higher_is_better", "hf_evaluate")}
    found = {}
    for each in config.get("filter_list") or [{"name": "none", "filter": [{"function": "take_first"}]}]:
        steps = [[step["function"], {k: v for k, v in step.items() if k != "function"}] for step in each["filter"]]
        try:
            instance = SimpleNamespace(resps=[one["text"]], doc={}, filtered_resps={})
            build_filter_ensemble(each["name"], steps).apply([instance])
            said = instance.filtered_resps[each["name"]]
            said = said[0] if isinstance(said, list) else said
            found[each["name"]] = float(exact_match_fn(references=[one["answer"]], predictions=[said], **how)["exact_match"])
        except KeyError:
            found[each["name"]] = None
    return found


json.dump(
    {
        "options": [options(one) for one in given.get("options", [])],
        "mass": [mass(one) for one in given.get("mass", [])],
        "texts": [written(one) for one in given.get("texts", [])],
    },
    sys.stdout,
)
