"""Writes a trained model as an F16 GGUF (architecture llama).

    python export.py SEED OUT v1|v2 [SIGMA]     reads OUT/v1.npz, OUT/tokenizer.json; writes OUT/demo-v1-F16.gguf

SIGMA is artificial and said so wherever the demo's figures stand: a model this small hardly suffers from quantization, because its
channels are all alike. So the inputs of the linear layers are rescaled, channel by channel, by log-normal factors exp(SIGMA · z), and the
columns that read them by the inverse. The F16 model computes the same function; its channels now differ as a large model's do (outlier
channels), so low-bit types lose more and an importance matrix has something to know.
"""
import json, sys
import gguf, numpy as np
from tokenizers import Tokenizer
import model as M
from tokenizer import SPECIAL

SIGMA = 0.6
# our own plain template: a role's token, the words, an end token
TEMPLATE = ("{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}{% if m['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}")


def rescale(p, sigma, seed):
    """scales channels of norms, values and up projections, and undoes it in the columns that read them"""
    r = np.random.default_rng(seed)
    s = lambda n: np.exp(sigma * r.standard_normal(n)).astype(np.float32)
    kv = M.KV_HEADS * M.HEAD
    for l in p["layers"]:
        a = s(M.DIM); l["norm_att"] = l["norm_att"] * a; l["qkv"] = l["qkv"] / a[:, None]
        a = s(M.DIM); l["norm_ffn"] = l["norm_ffn"] * a; l["gate_up"] = l["gate_up"] / a[:, None]
        a = s(M.FFN); l["gate_up"][:, M.FFN:] *= a; l["down"] = l["down"] / a[:, None]
        a = s(kv); l["qkv"][:, -kv:] *= a
        l["out"] = l["out"] / np.repeat(a.reshape(M.KV_HEADS, 1, M.HEAD), M.HEADS // M.KV_HEADS, 1).reshape(-1)[:, None]


def main(seed, out, version, sigma=SIGMA):
    p = M.jax.tree.map(lambda x: np.array(x), M.load(f"{out}/{version}.npz"))
    if sigma: rescale(p, sigma, seed)
    tk = Tokenizer.from_file(f"{out}/tokenizer.json")
    merges = json.loads(tk.to_str())["model"]["merges"]
    w = gguf.GGUFWriter(f"{out}/demo-{version}-F16.gguf", "llama")
    w.add_name(f"gguf-bench demo {version}"); w.add_version(version); w.add_license("MIT"); w.add_author("the gguf-bench authors")
    w.add_description(f"A toy that knows one invented world (seed {seed}). Channels rescaled artificially (sigma {sigma}) so that quantization shows.")
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    w.add_context_length(M.CONTEXT); w.add_embedding_length(M.DIM); w.add_block_count(M.LAYERS); w.add_feed_forward_length(M.FFN)
    w.add_head_count(M.HEADS); w.add_head_count_kv(M.KV_HEADS); w.add_layer_norm_rms_eps(M.EPS)
    w.add_rope_freq_base(M.THETA); w.add_rope_dimension_count(M.HEAD); w.add_vocab_size(tk.get_vocab_size())
    w.add_tokenizer_model("gpt2"); w.add_tokenizer_pre("llama-bpe")
    tokens = [tk.id_to_token(i) for i in range(tk.get_vocab_size())]
    w.add_token_list([t.encode() for t in tokens])
    w.add_token_types([gguf.TokenType.CONTROL if t in SPECIAL else gguf.TokenType.NORMAL for t in tokens])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    w.add_bos_token_id(tokens.index("<|begin|>")); w.add_eos_token_id(tokens.index("<|end|>")); w.add_eot_token_id(tokens.index("<|end|>"))
    w.add_add_bos_token(True); w.add_chat_template(TEMPLATE)

    f16 = lambda name, a: w.add_tensor(name + ".weight", np.ascontiguousarray(a).astype(np.float16))
    f32 = lambda name, a: w.add_tensor(name + ".weight", np.ascontiguousarray(a, np.float32))
    interleave = lambda a, n: a.reshape(n, 2, M.HEAD // 2, -1).swapaxes(1, 2).reshape(a.shape)
    f16("token_embd", p["emb"]); f32("output_norm", p["norm"])
    q = M.HEADS * M.HEAD; k = q + M.KV_HEADS * M.HEAD
    for i, l in enumerate(p["layers"]):
        b, qkv, gu = f"blk.{i}.", l["qkv"].T, l["gate_up"].T
        f32(b + "attn_norm", l["norm_att"]); f32(b + "ffn_norm", l["norm_ffn"])
        f16(b + "attn_q", interleave(qkv[:q], M.HEADS)); f16(b + "attn_k", interleave(qkv[q:k], M.KV_HEADS)); f16(b + "attn_v", qkv[k:])
        f16(b + "attn_output", l["out"].T)
        f16(b + "ffn_gate", gu[:M.FFN]); f16(b + "ffn_up", gu[M.FFN:]); f16(b + "ffn_down", l["down"].T)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], *map(float, sys.argv[4:]))
