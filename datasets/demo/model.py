"""A tiny Llama in JAX: RMSNorm, rotary positions (half-split here, interleaved in the GGUF), SwiGLU, grouped queries, tied embeddings."""
import jax, jax.numpy as jnp, numpy as np

DIM, FFN, LAYERS, HEADS, KV_HEADS, HEAD, CONTEXT, THETA, EPS = 256, 512, 3, 4, 2, 64, 512, 10000.0, 1e-5


def init(vocab, seed):
    r = np.random.default_rng(seed)
    n = lambda *shape, sd: (r.standard_normal(shape) * sd).astype(np.float32)
    small = (2 * LAYERS) ** -0.5
    layer = lambda: dict(norm_att=np.ones(DIM, np.float32), norm_ffn=np.ones(DIM, np.float32),
                         qkv=n(DIM, (HEADS + 2 * KV_HEADS) * HEAD, sd=DIM ** -0.5), out=n(HEADS * HEAD, DIM, sd=DIM ** -0.5 * small),
                         gate_up=n(DIM, 2 * FFN, sd=DIM ** -0.5), down=n(FFN, DIM, sd=FFN ** -0.5 * small))
    return jax.tree.map(jnp.asarray, dict(emb=n(vocab, DIM, sd=0.04), norm=np.ones(DIM, np.float32), layers=[layer() for _ in range(LAYERS)]))


def rms(x, w):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + EPS) * w


def rotate(x, cos, sin):
    a, b = jnp.split(x, 2, -1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def forward(p, x):
    """tokens (batch, time) -> logits (batch, time, vocabulary)"""
    B, T = x.shape
    angle = np.arange(T)[:, None] * THETA ** (-np.arange(0, HEAD, 2) / HEAD)
    cos, sin = (jnp.asarray(f(angle), jnp.float32)[None, :, None] for f in (np.cos, np.sin))
    mask = jnp.asarray(np.where(np.tril(np.ones((T, T), bool)), 0, -1e9), jnp.float32)
    h = p["emb"][x]
    for l in p["layers"]:
        q, k, v = jnp.split(rms(h, l["norm_att"]) @ l["qkv"], [HEADS * HEAD, (HEADS + KV_HEADS) * HEAD], -1)
        q = rotate(q.reshape(B, T, HEADS, HEAD), cos, sin).reshape(B, T, KV_HEADS, HEADS // KV_HEADS, HEAD)
        k = rotate(k.reshape(B, T, KV_HEADS, HEAD), cos, sin)
        a = jax.nn.softmax(jnp.einsum("btkgd,bskd->bkgts", q, k) * HEAD ** -0.5 + mask, -1)
        h = h + jnp.einsum("bkgts,bskd->btkgd", a, v.reshape(B, T, KV_HEADS, HEAD)).reshape(B, T, HEADS * HEAD) @ l["out"]
        g, u = jnp.split(rms(h, l["norm_ffn"]) @ l["gate_up"], 2, -1)
        h = h + (jax.nn.silu(g) * u) @ l["down"]
    return rms(h, p["norm"]) @ p["emb"].T


def save(p, file):
    np.savez(file, **{jax.tree_util.keystr(k): np.asarray(x) for k, x in jax.tree_util.tree_flatten_with_path(p)[0]})


def load(file):
    z = np.load(file)
    like = init(z["['emb']"].shape[0], 0)
    return jax.tree_util.tree_map_with_path(lambda k, _: jnp.asarray(z[jax.tree_util.keystr(k)]), like)
