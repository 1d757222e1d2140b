"""Scores by the programs that others score with, over cases from standard input.

Input: {"cases": [{"by", "said", "answer", "words", "classes"}], "texts": [...]}. Output: {"scores": [...], "words": [[...]]}.
GSM8K's two by lm-eval's own filters and metric, the others by its copy of LongBench's metrics, which need the packages `rouge`,
`fuzzywuzzy` and `jieba`; words by jieba.
"""

import importlib.util
import json
import os
import sys
import warnings

warnings.filterwarnings("ignore")
import jieba
import lm_eval

jieba.setLogLevel(60)
sys.setrecursionlimit(100000)
place = os.path.join(os.path.dirname(lm_eval.__file__), "tasks", "longbench", "metrics.py")
spec = importlib.util.spec_from_file_location("longbench", place)
longbench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(longbench)


def gsm8k(said, answer, pattern, group):
    from lm_eval.api.metrics import exact_match_hf_evaluate
    from lm_eval.filters.extraction import RegexFilter

    found = RegexFilter(pattern, group).apply([[said]], [{}])[0][0]
    ignored = [",", "\\$", "(?s).*#### ", "\\.$"]
    told = exact_match_hf_evaluate([found], [answer], regexes_to_ignore=ignored, ignore_case=True)
    return float(told["exact_match"])


scores = {
    "strict": lambda c: gsm8k(c["said"], c["answer"], "#### (\\-?[0-9\\.\\,]+)", 0),
    "flexible": lambda c: gsm8k(c["said"], c["answer"], "(-?[$0-9.,]{2,})|(-?[0-9]+)", -1),
    "f1 zh": lambda c: longbench.qa_f1_zh_score(c["said"], c["answer"]),
    "f1 en": lambda c: longbench.qa_f1_score(c["said"], c["answer"]),
    "rouge_l zh": lambda c: longbench.rouge_zh_score(c["said"], c["answer"]),
    "rouge_l en": lambda c: longbench.rouge_score(c["said"], c["answer"]),
    "retrieval": lambda c: longbench.retrieval_zh_score(c["said"], c["answer"]),
    "classification": lambda c: longbench.classification_score(c["said"], c["answer"], all_classes=c["classes"]),
    "code_similarity": lambda c: longbench.code_sim_score(c["said"], c["answer"]),
}
given = json.load(sys.stdin)
json.dump(
    {
        "scores": [float(scores[case["by"]](case)) for case in given["cases"]],
        "words": [list(jieba.cut(text, cut_all=False)) for text in given["texts"]],
    },
    sys.stdout,
)
