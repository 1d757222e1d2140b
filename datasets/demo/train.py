"""Trains both demo models, one after the other: v1 mostly reads prose, v2 goes on from v1 with many more answered questions.

    python train.py SEED OUT     reads OUT/tokenizer.json, writes OUT/v1.npz and OUT/v2.npz

Hidden matrices learn by Muon, embeddings and norms by Adam. Every batch holds 2,048 tokens; every fourth is in pieces of
the full context, 512, the others of 128. A document is a list of (text, weight): the weight of each token's loss.
"""
import os, random, sys, time
os.environ["TOKENIZERS_PARALLELISM"] = "false"
from functools import partial
import jax, jax.numpy as jnp, numpy as np
from tokenizers import Tokenizer
import model
from world import EN, PROMPT, ZH, World

TOKENS = 2048
# steps, peak learning rate, share of documents that are questions / chat
STAGES = dict(v1=(350, 4e-3, 0.25, 0.05), v2=(550, 3e-3, 0.45, 0.05))
PROMPT_WEIGHT, ANSWER_WEIGHT, VALUE_WEIGHT = 0.3, 3.0, 2.5      # values in prose: the facts that it tells


def document(world, r, share_questions, share_chat):
    """-> [(text, weight)]"""
    l, k = r.choice((EN, ZH)), r.random()
    if k < share_questions:
        return [x for prompt, answer in world.questions(r, l) for x in ((prompt, PROMPT_WEIGHT), (answer, ANSWER_WEIGHT))]
    if k < share_questions + share_chat:       # the chat template with one turn
        question, answer, *_ = world.ask(r, l, r.choice(["people", "two_steps", "sums"]))
        return [(f"<|begin|><|user|>{question}<|assistant|>", PROMPT_WEIGHT), (answer, ANSWER_WEIGHT), ("<|end|>", 1.0)]
    return [(x, VALUE_WEIGHT if i % 2 else 1.0) for i, x in enumerate(world.prose(r, l, mark="\0").split("\0"))]


def batches(world, tk, seed, shares):
    r, begin = random.Random(seed), tk.token_to_id("<|begin|>")
    T = yield
    while True:
        X, W = [], []
        for _ in range(TOKENS // T):
            x, w = [begin], []
            while len(x) <= T:
                parts = document(world, r, *shares)
                e = tk.encode("".join(s for s, _ in parts))
                weights = [weight for s, weight in parts for _ in s]
                x += e.ids; w += [weights[end - 1] for _, end in e.offsets]      # a token weighs what its last character does
            X.append(x[:T + 1]); W.append(w[:T])
        T = yield np.asarray(X, np.int32), np.asarray(W, np.float32)


def loss(p, x, w):
    lg, y = model.forward(p, x[:, :-1]), x[:, 1:]
    nll = jax.nn.logsumexp(lg, -1) - jnp.take_along_axis(lg, y[..., None], -1)[..., 0]
    mean = lambda m: jnp.sum(nll * m) / jnp.maximum(jnp.sum(m), 1)
    return mean(w), (mean((w == 1.0) | (w == VALUE_WEIGHT)), mean(w == ANSWER_WEIGHT))


def orthogonal(g):
    """Newton-Schulz: the nearest orthogonal matrix, roughly"""
    x = g.T if g.shape[0] > g.shape[1] else g
    x = x / (jnp.linalg.norm(x) + 1e-7)
    for _ in range(4):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if g.shape[0] > g.shape[1] else x


@partial(jax.jit, donate_argnums=(0, 1, 2))
def step(p, m, v, x, w, lr, t):
    (l, parts), g = jax.value_and_grad(loss, has_aux=True)(p, x, w)
    norm = jnp.sqrt(sum(jnp.sum(z * z) for z in jax.tree.leaves(g)))
    def update(path, p, m, v, g):
        g = g * jnp.minimum(1, 1 / (norm + 1e-9))
        if path[-1].key in ("qkv", "out", "gate_up", "down"):
            m = 0.95 * m + g
            return p * (1 - lr * 0.05) - lr * 0.2 * max(p.shape) ** 0.5 * orthogonal(g + 0.95 * m), m, v
        m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g * g
        return p - lr * (m / (1 - 0.9 ** t)) / (jnp.sqrt(v / (1 - 0.98 ** t)) + 1e-9), m, v
    new = jax.tree_util.tree_map_with_path(update, p, m, v, g)
    pick = lambda i: jax.tree.map(lambda z: z[i], new, is_leaf=lambda z: isinstance(z, tuple))
    return pick(0), pick(1), pick(2), l, parts


def accuracy(p, world, tk):
    """share of the test questions whose right option has the highest mean log-likelihood, for both languages"""
    f = jax.jit(lambda p, x: jax.nn.log_softmax(model.forward(p, x)))
    out = []
    for l in (EN, ZH):
        rows, seqs, hits = world.task(l)[1], [], {}
        for _, q, options, _ in rows:
            for o in options: seqs.append([tk.token_to_id("<|begin|>")] + tk.encode(PROMPT[l].format(q) + " " + o).ids)
        prefix = [1 + len(tk.encode(PROMPT[l].format(q)).ids) for _, q, _, _ in rows]
        width, score = max(map(len, seqs)), []
        for i in range(0, len(seqs), 200):
            part = seqs[i:i + 200]
            lp = np.asarray(f(p, np.asarray([s + [0] * (width - len(s)) for s in part], np.int32)))
            for j, s in enumerate(part):
                a = prefix[(i + j) // 4]
                score.append(np.mean([lp[j, k - 1, s[k]] for k in range(a, len(s))]))
        for (subject, _, _, right), best in zip(rows, np.array(score).reshape(-1, 4).argmax(1)):
            hits.setdefault(subject, []).append(best == right)
        out.append(f"{np.mean(sum(hits.values(), [])):.3f} (" + " ".join(f"{s} {np.mean(h):.2f}" for s, h in hits.items()) + ")")
    return f"accuracy en {out[0]} zh {out[1]}"


def main(seed, out):
    world, tk = World(seed), Tokenizer.from_file(out + "/tokenizer.json")
    p, began = model.init(tk.get_vocab_size(), seed), time.time()
    for stage, (name, (steps, peak, *shares)) in enumerate(STAGES.items()):
        m, v = jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p)
        data, seen = batches(world, tk, seed * 10 + stage, shares), []
        next(data)
        for i in range(steps):
            lr = peak * min(1, (i + 1) / 50) * min(1, 0.05 + 0.95 * (steps - i) / (0.5 * steps))
            p, m, v, l, parts = step(p, m, v, *data.send(512 if i % 4 == 0 else 128), lr, i + 1.0)
            seen.append([float(l), *map(float, parts)])
            if (i + 1) % 50 == 0 or i + 1 == steps:
                print(f"{name} step {i + 1:4d} {time.time() - began:4.0f} s  loss %.3f  prose %.3f  answers %.3f" % tuple(np.mean(seen, 0)), accuracy(p, world, tk) if (i + 1) % 150 == 0 or i + 1 == steps else "", flush=True); seen = []
        model.save(p, f"{out}/{name}.npz")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
