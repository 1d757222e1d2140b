"""Byte-level BPE trained on the demo world's own text alone (the GGUF pre-tokenizer `llama-bpe` fixes how text is split).

    python tokenizer.py SEED OUT     writes OUT/tokenizer.json
"""
import random, re, sys
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from world import EN, VOCABULARY, ZH, World

SPECIAL = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
SIZE = 1280
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def train(world):
    tk = Tokenizer(models.BPE(ignore_merges=True))
    tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tk.decoder = decoders.ByteLevel()
    # Chinese has no spaces: breaks around the known words keep merges inside them; an answer's leading space stays with its word
    words = sorted({zh for pool in VOCABULARY.values() for _, zh in pool}, key=len, reverse=True)
    apart = re.compile("( ?(?:" + "|".join(words) + ")|[，。：？])")
    r = random.Random(world.seed)
    docs = [world.prose(r, r.choice((EN, ZH))) for _ in range(16000)] + [p + a for _ in range(2000) for p, a in world.questions(r, r.choice((EN, ZH)))]
    docs += [f" {en} {zh}\n" for pool in VOCABULARY.values() for en, zh in pool] * 40        # every word of the world becomes one token
    tk.train_from_iterator((apart.sub("\n\\1\n", d) for d in docs), trainers.BpeTrainer(vocab_size=SIZE - len(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tk.add_special_tokens(SPECIAL)
    return tk


if __name__ == "__main__":
    tk = train(World(int(sys.argv[1])))
    for s in ["héllo 🙂 漢字 ß\n\n  x\t123456", "Q: How? A: 12", "问：谁？ 答： 东港"]:
        assert tk.decode(tk.encode(s).ids) == s
    tk.save(sys.argv[2] + "/tokenizer.json")
    print(tk.get_vocab_size(), "tokens")
