"""Measures what quantization costs the demo models, with llama.cpp's own tools (LLAMA_TOOLS names the folder that holds them).

    python ladder.py OUT [TYPE …]     reads what the other steps left in OUT, prints one row per file, writes OUT/ladder.tsv

Perplexity and KL divergence are llama-perplexity's, 512 tokens a chunk; accuracy is the share of questions whose right option has the
highest mean log-likelihood (`--hellaswag`). The lines below the table test the claims that the demo makes, paired by chunk or question.
"""
import math, os, re, subprocess, sys

TOOLS = os.environ.get("LLAMA_TOOLS", "")
THREADS = os.environ.get("THREADS", "2")
LADDER = ["Q8_0", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K"]


def tool(name, *args, until=""):
    """the output of a llama.cpp tool; its log thread now and then loses the last lines at exit, so ask until `until` is there"""
    for _ in range(9):
        done = subprocess.run([os.path.join(TOOLS, name), *args], capture_output=True, text=True)
        log = done.stdout + done.stderr
        if done.returncode == 0 and re.search(until, log, re.M): return log
    sys.exit(f"{name} {' '.join(args)} failed:\n{log[-2000:]}")


def chunks(log):
    """llama-perplexity prints running means of exp(NLL): -> (NLL of each chunk, final PPL, ±)"""
    running = [math.log(float(x)) for x in re.findall(r"\[\d+\]([\d.]+),", log)]
    each = [running[0]] + [running[i] * (i + 1) - running[i - 1] * i for i in range(1, len(running))]
    ppl, error = re.search(r"PPL = ([\d.]+) \+/- ([\d.]+)", log).groups()
    return each, float(ppl), float(error)


def hits(log):
    """hellaswag prints the running accuracy in per cent -> right or wrong, per question"""
    running = [(int(n), float(a)) for n, a in re.findall(r"^(\d+)\t([\d.]+)%", log, re.M)]
    right = [0] + [round(n * a / 100) for n, a in running]
    return [b - a for a, b in zip(right, right[1:])]


def quantize(source, target, kind, matrix):
    tool("llama-quantize", *(["--imatrix", matrix] if matrix else []), source, target, kind, "2")


def measure(file, base):
    common = ["-m", file, "-t", THREADS, "-c", "512"]
    row = dict(size=os.path.getsize(file))
    for l in ("en", "zh"):
        if file == base:
            tool("llama-perplexity", *common, "-f", f"heldout-{l}.txt", "--kl-divergence-base", f"ladder-{l}.kld")
            row["kld-" + l] = 0.0
        else:
            log = tool("llama-perplexity", *common, "--kl-divergence-base", f"ladder-{l}.kld", "--kl-divergence", until="Mean    KLD:")
            row["kld-" + l] = float(re.search(r"Mean    KLD: +([\d.-]+)", log).group(1))
        row["nll-" + l], row["ppl-" + l], row["err-" + l] = chunks(tool("llama-perplexity", *common, "-f", f"heldout-{l}.txt", until="PPL = "))
        tasks = sum(1 for _ in open(f"facts-{l}.hellaswag.txt", encoding="utf-8")) // 6
        row["hits-" + l] = hits(tool("llama-perplexity", *common, "-f", f"facts-{l}.hellaswag.txt", "--hellaswag", "--hellaswag-tasks", str(tasks), until=f"^{tasks}\\t"))
    return row


def paired(a, b):
    """mean of a − b and its standard error"""
    d = [x - y for x, y in zip(a, b, strict=True)]
    m = sum(d) / len(d)
    return m, math.sqrt(sum((x - m) ** 2 for x in d) / (len(d) - 1) / len(d))


def main(out, kinds):
    os.chdir(out)
    rows, lines = {}, ["model\ttype\timatrix\tbytes\tppl-en\t±\tppl-zh\t±\tkld-en\tkld-zh\tacc-en\tacc-zh"]
    print(lines[0])
    for v in ("v1", "v2"):
        f16 = f"demo-{v}-F16.gguf"
        for kind, matrix in [("F16", "-")] + [(k, m) for k in kinds for m in (("no",) if k == "Q8_0" else ("no", "yes"))]:
            file = f16 if kind == "F16" else f"ladder-{v}-{kind}-{matrix}.gguf"
            if kind != "F16": quantize(f16, file, kind, f"demo-{v}.imatrix.gguf" if matrix == "yes" else None)
            r = rows[v, kind, matrix] = measure(file, f16)
            if kind != "F16": os.remove(file)
            acc = [sum(r["hits-" + l]) / len(r["hits-" + l]) for l in ("en", "zh")]
            lines.append(f"{v}\t{kind}\t{matrix}\t{r['size']}\t{r['ppl-en']:.4f}\t{r['err-en']:.4f}\t{r['ppl-zh']:.4f}\t{r['err-zh']:.4f}\t{r['kld-en']:.4f}\t{r['kld-zh']:.4f}\t{acc[0]:.3f}\t{acc[1]:.3f}")
            print(lines[-1], flush=True)
    def claim(text, metric, a, b):
        """the claim is that a > b"""
        for l in ("en", "zh"):
            m, e = paired(rows[a][f"{metric}-{l}"], rows[b][f"{metric}-{l}"])
            lines.append(f"{text}\t{l}\t{m:+.4f} ± {e:.4f}\t{'yes' if m > 2 * e else 'up, within 2 errors' if m > 0 else 'NO'}")
            print(lines[-1])
    for v in ("v1", "v2"):
        ladder = ["F16"] + [k for k in kinds if k != "Q4_0"]
        for a, b in zip(ladder, ladder[1:]):
            claim(f"{v}: ln PPL {b} − {a}", "nll", (v, b, "no"), (v, a, "-" if a == "F16" else "no"))
        for k in ("Q3_K_M", "Q2_K"):
            claim(f"{v}: ln PPL {k} − {k} with matrix", "nll", (v, k, "no"), (v, k, "yes"))
        claim(f"{v}: accuracy F16 − Q2_K", "hits", (v, "F16", "-"), (v, "Q2_K", "no"))
    claim("accuracy v2 − v1, F16", "hits", ("v2", "F16", "-"), ("v1", "F16", "-"))
    claim("ln PPL v1 − v2, F16", "nll", ("v1", "F16", "-"), ("v2", "F16", "-"))
    with open("ladder.tsv", "w") as f: f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] or LADDER)
