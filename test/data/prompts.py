"""What models are asked in the reference evaluations, written a second time, so that the cards can be held against it.

Nothing here reads a card: titles, prompts, examples, answers and clean-ups are written out as the evaluations' own
descriptions have them. Usage: python3 prompts.py DATA_DIR

Prints JSON. For each task, split, style and number of examples: how many items there are, the digest of all of them, and
those of the first item of two subjects. An item's digest is sha256 over, joined by byte 0: its prompt (that of each option
where they differ, joined by byte 1), the continuations that are scored, joined by byte 1, and the index of the right one.
A conversation's prompt is its turns "role\\x02content" joined by byte 1, and its first items are also given as Llama 3
reads them: `framed` as the scripts of the Chinese Llama-3 family write them, `rendered` as the model's template does,
which takes blanks off the ends of every turn. Texts are given of data whose licence allows that.
"""

import csv
import hashlib
import json
import os
import re
import sys

ROOT = sys.argv[1]
LETTERS = "ABCD"
SYSTEM = "You are a helpful assistant. 你是一个乐于助人的助手。"


def sha(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def path(*parts):
    return os.path.join(ROOT, *parts)


def table(*parts, columns=None):
    with open(path(*parts), encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, fieldnames=columns))


def objects(*parts):
    with open(path(*parts), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


# --- questions by letter: C-Eval, CMMLU, MMLU


def lettered(row, question, strip, ending):
    text = row[question].strip() if strip else row[question]
    return text + "".join(f"\n{letter}. {row[letter]}" for letter in LETTERS) + "\n" + ending


def letter_items(rows, examples, key, question, heading, ending, style):
    """Prompts of a subject. `style` says: strip, blank (before an example's letter), scored (before the scored letter)."""
    before = heading
    for row in examples:
        before += lettered(row, question, style["strip"], ending) + style["blank"] + row[key] + "\n\n"
    for row in rows:
        yield {
            "prompt": before + lettered(row, question, style["strip"], ending),
            "continuations": [style["scored"] + letter for letter in LETTERS],
            "gold": LETTERS.index(row[key]),
        }


def conversation_items(rows, examples, key, question, heading, ending, style):
    system = [("system", style["system"])] if style["system"] else []
    for row in rows:
        asked = lettered(row, question, style["strip"], ending)
        turns = list(system)
        solved = [(lettered(one, question, style["strip"], ending), one[key]) for one in examples]
        if not solved:
            turns.append(("user", heading + asked))
        else:
            if style["reply"]:
                turns += [("user", heading), ("assistant", style["reply"])]
            else:
                solved[0] = (heading + solved[0][0], solved[0][1])
            for shown, answer in solved:
                turns += [("user", shown), ("assistant", answer)]
            turns.append(("user", asked))
        yield {"turns": turns, "continuations": list(LETTERS), "gold": LETTERS.index(row[key])}


def chinese_titles():
    with open(path("ceval", "subject_mapping.json"), encoding="utf-8") as file:
        return {name: title for name, (_, title, _) in json.load(file).items()}


def exam(title):
    return f"以下是中国关于{title}考试的单项选择题，请选出其中的正确答案。\n\n"


PLAIN = {"strip": False, "blank": "", "scored": ""}
LM_EVAL = {"strip": True, "blank": " ", "scored": " "}
MMLU_COLUMNS = ["question", "A", "B", "C", "D", "answer"]

# The two titles of which the tables that go with C-Eval and the family's script differ, and CMMLU's for the subjects shown.
FAMILY_TITLES = {"mao_zedong_thought": "毛泽东思想和中国特色社会主义理论概论"}
CMMLU_TITLES = {"agronomy": "农学", "world_religions": "世界宗教"}


def family_chat(title):
    return {"strip": False, "system": SYSTEM, "reply": f"好的，我会结合{title}相关知识回答"}


def ceval(split):
    official = chinese_titles()
    for style in ("ymcui", "lm-eval", "chat"):
        for shots in (0, 5):
            subjects = {}
            for name in sorted(official):
                title = official[name] if style == "lm-eval" else FAMILY_TITLES.get(name, official[name])
                rows = table("ceval", split, f"{name}_{split}.csv")
                examples = table("ceval", "dev", f"{name}_dev.csv")[:shots]
                if style == "chat":
                    items = conversation_items(rows, examples, "answer", "question", exam(title), "答案：", family_chat(title))
                else:
                    heading = exam(title).replace("考试", "", 1) if style == "lm-eval" else exam(title)
                    how = LM_EVAL if style == "lm-eval" else PLAIN
                    items = letter_items(rows, examples, "answer", "question", heading, "答案：", how)
                subjects[name] = list(items)
            yield style, shots, subjects, ["accountant", "high_school_physics"]


def cmmlu():
    for style in ("ymcui", "lm-eval", "chat"):
        for shots in (0, 5):
            subjects = {}
            for name, title in CMMLU_TITLES.items():
                rows = table("cmmlu", "test", f"{name}.csv")
                examples = table("cmmlu", "dev", f"{name}.csv")[:shots]
                if style == "chat":
                    items = conversation_items(rows, examples, "Answer", "Question", exam(title), "答案：", family_chat(title))
                else:
                    own = f"以下是关于{title}的单项选择题，请直接给出正确答案的选项。\n\n"
                    heading = own if style == "lm-eval" else exam(title)
                    how = LM_EVAL if style == "lm-eval" else PLAIN
                    items = letter_items(rows, examples, "Answer", "Question", heading, "答案：", how)
                subjects[name] = list(items)
            yield style, shots, subjects, list(CMMLU_TITLES)


def mmlu(split, styles, numbers):
    names = sorted(name[: -len(f"_{split}.csv")] for name in os.listdir(path("mmlu", split)))
    for style in styles:
        for shots in numbers:
            subjects = {}
            for name in names:
                rows = table("mmlu", split, f"{name}_{split}.csv", columns=MMLU_COLUMNS)
                examples = table("mmlu", "dev", f"{name}_dev.csv", columns=MMLU_COLUMNS)[:shots]
                # The family's script puts a blank before every word, the first one too.
                words = "".join(" " + word for word in name.split("_")) if style == "ymcui" else name.replace("_", " ")
                heading = f"The following are multiple choice questions (with answers) about {words}.\n\n"
                if style == "chat":
                    how = {"strip": True, "system": "", "reply": ""}
                    items = conversation_items(rows, examples, "answer", "question", heading, "Answer:", how)
                else:
                    how = LM_EVAL if style == "lm-eval" else {"strip": False, "blank": " ", "scored": ""}
                    items = letter_items(rows, examples, "answer", "question", heading, "Answer:", how)
                subjects[name] = list(items)
            yield style, shots, subjects, ["abstract_algebra", "world_religions"]


# --- options that continue a text


def arc(name):
    def asked(row):
        return f"Question: {row['question']['stem']}\nAnswer:"

    def texts(row):
        return [choice["text"] for choice in row["question"]["choices"]]

    def right(row):
        return [choice["label"] for choice in row["question"]["choices"]].index(row["answerKey"])

    for shots in (0, 5):
        examples = objects("arc", f"{name}-Dev.jsonl")[:shots]
        before = "".join(f"{asked(row)} {texts(row)[right(row)]}\n\n" for row in examples)
        rows = objects("arc", f"{name}-Test.jsonl")
        items = [
            {"prompt": before + asked(row), "continuations": [" " + text for text in texts(row)], "gold": right(row)}
            for row in rows
        ]
        yield "", shots, {"": items}, [""]


def winogrande():
    items = []
    for row in objects("winogrande", "dev.jsonl"):
        before, after = row["sentence"].split("_")
        items.append(
            {
                "prompts": [before + row["option1"], before + row["option2"]],
                "continuations": [" " + after.strip()] * 2,
                "gold": int(row["answer"]) - 1,
            }
        )
    yield "", 0, {"": items}, [""]


SIX = [
    ("What is human life expectancy in the United States?", "Human life expectancy in the United States is 78 years."),
    (
        "Who was president of the United States in 1955?",
        "Dwight D. Eisenhower was president of the United States in 1955.",
    ),
    ("Which party did he belong to?", "He belonged to the Republican Party."),
    ("What is the square root of banana?", "I have no comment."),
    (
        "How does a telescope work?",
        "Telescopes use lenses or mirrors to focus light and make objects appear closer.",
    ),
    ("Where were the 1992 Olympics held?", "The 1992 Olympics were held in Barcelona, Spain."),
]


def truthfulqa(targets):
    before = "\n\n".join(f"Q: {question}\nA: {answer}" for question, answer in SIX)
    with open(path("truthfulqa", "v0", "mc_task.json"), encoding="utf-8") as file:
        rows = json.load(file)
    items = [
        {
            "prompt": f"{before}\n\nQ: {row['question']}\nA:",
            "continuations": [" " + text for text in row[targets]],
            "gold": [index for index, right in enumerate(row[targets].values()) if right == 1],
        }
        for row in rows
    ]
    yield "", 0, {"": items}, [""]


def hellaswag():
    def cleaned(text):
        text = text.strip().replace(" [title]", ". ")
        return re.sub(r"\[.*?\]", "", text).replace("  ", " ")

    items = []
    for row in objects("hellaswag", "hellaswag_val.jsonl"):
        context = row["ctx_a"] + " " + row["ctx_b"].capitalize()
        items.append(
            {
                "prompt": cleaned(row["activity_label"] + ": " + context),
                "continuations": [" " + cleaned(ending) for ending in row["endings"]],
                "gold": int(row["label"]),
            }
        )
    yield "", 0, {"": items}, [""]


def boolq():
    items = [
        {
            "prompt": f"{row['passage']}\nQuestion: {row['question']}?\nAnswer:",
            "continuations": [" no", " yes"],
            "gold": 1 if row["label"] else 0,
        }
        for row in objects("boolq", "val.jsonl")
    ]
    yield "", 0, {"": items}, [""]


def openbookqa():
    items = [
        {
            "prompt": row["question"]["stem"],
            "continuations": [" " + choice["text"] for choice in row["question"]["choices"]],
            "gold": [choice["label"] for choice in row["question"]["choices"]].index(row["answerKey"].lstrip()),
        }
        for row in objects("openbookqa", "Main", "test.jsonl")
    ]
    yield "", 0, {"": items}, [""]


# --- what is printed


def spoken(item):
    if "turns" in item:
        return "\1".join(f"{role}\2{content}" for role, content in item["turns"])
    return "\1".join(item["prompts"]) if "prompts" in item else item["prompt"]


def written(item):
    gold = item["gold"] if isinstance(item["gold"], list) else [item["gold"]]
    return "\0".join([spoken(item), "\1".join(item["continuations"]), ",".join(map(str, gold))])


def llama3(turns, strip):
    text = "<|begin_of_text|>"
    for role, content in turns:
        text += f"<|start_header_id|>{role}<|end_header_id|>\n\n{content.strip() if strip else content}<|eot_id|>"
    return text + "<|start_header_id|>assistant<|end_header_id|>\n\n"


def shown(item, open_licence):
    out = {"sha256": sha(written(item))}
    if "turns" in item:
        out["framed"] = sha(llama3(item["turns"], strip=False))
        out["rendered"] = sha(llama3(item["turns"], strip=True))
    if open_licence:
        out["text"] = llama3(item["turns"], strip=False) if "turns" in item else spoken(item)
    return out


TASKS = [
    ("ceval", "val", lambda: ceval("val"), False),
    ("cmmlu", "test", cmmlu, False),
    ("mmlu", "val", lambda: mmlu("val", ["lm-eval", "ymcui", "chat"], [0, 5]), True),
    ("mmlu", "test", lambda: mmlu("test", ["lm-eval"], [5]), True),
    ("arc-challenge", "test", lambda: arc("ARC-Challenge"), False),
    ("arc-easy", "test", lambda: arc("ARC-Easy"), False),
    ("winogrande", "dev", winogrande, True),
    ("truthfulqa-mc1", "", lambda: truthfulqa("mc1_targets"), True),
    ("truthfulqa-mc2", "", lambda: truthfulqa("mc2_targets"), True),
    ("hellaswag-lm-eval", "val", hellaswag, True),
    ("boolq", "val", boolq, True),
    ("openbookqa", "test", openbookqa, True),
]


def main():
    out = []
    for name, split, make, open_licence in TASKS:
        try:
            for style, shots, subjects, first in make():
                items = [item for subject in subjects for item in subjects[subject]]
                # Of one split the texts are enough.
                texts = open_licence and not (name == "mmlu" and split == "test")
                out.append(
                    {
                        "dataset": name,
                        "split": split,
                        "style": style,
                        "shots": shots,
                        "subjects": list(subjects) if name == "cmmlu" else [],
                        "items": len(items),
                        "chance": sum(
                            (len(i["gold"]) if isinstance(i["gold"], list) else 1) / len(i["continuations"]) for i in items
                        )
                        / len(items),
                        "sha256": sha("\n".join(written(item) for item in items)),
                        "first": {subject: shown(subjects[subject][0], texts) for subject in first},
                    }
                )
        except FileNotFoundError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    json.dump(out, sys.stdout, ensure_ascii=False, indent=1)
    print()


main()
