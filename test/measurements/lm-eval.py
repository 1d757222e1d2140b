"""lm-eval's own rules over questions from standard input: its cut into tokens, then `acc` and `acc_norm` from given log-probabilities.

Input: {"tokens": {text: ids}, "questions": [{"context", "delimiter", "options", "gold", "scores"}]}. Output: for each question
[acc, acc_norm, [[ids of the context, ids of the continuation] of each option]].
"""

import json
import sys
from types import SimpleNamespace

from lm_eval.api.model import TemplateLM
from lm_eval.api.task import ConfigurableTask

given = json.load(sys.stdin)
cutter = SimpleNamespace(backend="causal", tok_encode=lambda text, **_: given["tokens"][text])
found = []
for question in given["questions"]:
    task = SimpleNamespace(
        OUTPUT_TYPE="multiple_choice",
        config=SimpleNamespace(process_results=None, doc_to_choice=None),
        _metric_fn_list={"acc": None, "acc_norm": None},
        multiple_input=0,
        multiple_target=0,
        doc_to_choice=lambda doc: doc["options"],
        doc_to_target=lambda doc: doc["gold"],
    )
    results = [(score, False) for score in question["scores"]]
    rules = ConfigurableTask.process_results(task, question, results)
    cuts = [
        TemplateLM._encode_pair(cutter, question["context"], question["delimiter"] + option)
        for option in question["options"]
    ]
    found.append([rules["acc"], rules["acc_norm"], cuts])
json.dump(found, sys.stdout)
