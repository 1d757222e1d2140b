import { normals } from "../draws.mjs";

/**
 * A real model for llama.cpp, made in milliseconds: two layers of seeded random weights, a byte-level tokenizer. What it
 * says is noise, but it is loaded, decoded and scored by the same code as any other, so the engine can be tested, killed
 * and resumed on a machine that has no model.
 */
export interface RandomLlama {
  seed?: number;
  /** The context that the model says it was trained for. */
  context?: number;
  /** What its vocabulary appends to a text: "eos", "sep". */
  end?: string;
  /** Tokens of the sliding window that every other layer sees alone, as in Gemma 3. */
  window?: number;
  /** Values of the header as they stand in a file, their type's number first; undefined leaves the key out. */
  metadata?: Record<string, Buffer | undefined>;
  /** The length of tensors' first dimension, 0 to leave a tensor out; by name. */
  lengths?: Record<string, number>;
  /** Weights that all have one value; by name. */
  fill?: Record<string, number>;
  /** Heads of attention, half of them with keys and values of their own; types of KV cache need heads of 32 values or more: 2. */
  heads?: number;
  /** Width of the feed-forward layers, which makes a file of about 1.5 kB times this. */
  hidden?: number;
  /** `randomAdapter` of this seed, added to the weights by hand. */
  merged?: { seed: number; scale: number };
}

const width = 64;
const usualHidden = 96;
const layers = 2;
const bos = 256;

export function randomLlama(options: RandomLlama = {}): Buffer {
  const {
    seed = 1,
    context = 2048,
    end = "",
    window,
    metadata: changed = {},
    lengths = {},
    fill = {},
    merged,
    heads = 4,
    hidden = usualHidden,
  } = options;
  const kvHeads = heads / 2;
  const architecture = window === undefined ? "llama" : "gemma3";
  // One merge, so that a token of two bytes exists.
  const tokens = [...byteAlphabet(), "<s>", "Ġt"];
  const kv = (width / heads) * kvHeads;
  const tensors: [name: string, shape: number[]][] = [
    ["token_embd.weight", [width, tokens.length]],
    ["output_norm.weight", [width]],
    ["output.weight", [width, tokens.length]],
  ];
  for (let layer = 0; layer < layers; layer++)
    for (const [name, shape] of [
      ["attn_norm", [width]],
      ["attn_q", [width, width]],
      ["attn_k", [width, kv]],
      ["attn_v", [width, kv]],
      ["attn_output", [width, width]],
      ["ffn_norm", [width]],
      ["ffn_gate", [width, hidden]],
      ["ffn_up", [width, hidden]],
      ["ffn_down", [hidden, width]],
      ...(window === undefined
        ? []
        : ([
            ["attn_q_norm", [width / heads]],
            ["attn_k_norm", [width / heads]],
            ["post_attention_norm", [width]],
            ["post_ffw_norm", [width]],
          ] as const)),
    ] as const)
      tensors.push([`blk.${layer}.${name}.weight`, [...shape]]);

  const yes = Buffer.concat([u32(7), Buffer.from([1])]);
  const metadata: [key: string, value: Buffer][] = [
    ["general.architecture", string(architecture)],
    ["general.name", string(`random llama ${seed}`)],
    [`${architecture}.block_count`, u32Value(layers)],
    [`${architecture}.context_length`, u32Value(context)],
    [`${architecture}.embedding_length`, u32Value(width)],
    [`${architecture}.feed_forward_length`, u32Value(hidden)],
    [`${architecture}.attention.head_count`, u32Value(heads)],
    [`${architecture}.attention.head_count_kv`, u32Value(kvHeads)],
    [`${architecture}.attention.layer_norm_rms_epsilon`, f32Value(1e-5)],
    [`${architecture}.rope.dimension_count`, u32Value(width / heads)],
    ...(window === undefined
      ? []
      : ([
          ["gemma3.attention.sliding_window", u32Value(window)],
          ["gemma3.attention.key_length", u32Value(width / heads)],
          ["gemma3.attention.value_length", u32Value(width / heads)],
        ] as [string, Buffer][])),
    ["tokenizer.ggml.model", string("gpt2")],
    ["tokenizer.ggml.pre", string("gpt-2")],
    ["tokenizer.ggml.tokens", array(8, tokens.map(text))],
    [
      "tokenizer.ggml.token_type",
      array(
        5,
        tokens.map((_, i) => u32(i === bos ? 3 : 1)),
      ),
    ],
    ["tokenizer.ggml.merges", array(8, [text("Ġ t")])],
    ["tokenizer.ggml.bos_token_id", u32Value(bos)],
    ["tokenizer.ggml.eos_token_id", u32Value(bos)],
    ["tokenizer.ggml.add_bos_token", yes],
    ...["eos", "sep"].flatMap((name): typeof metadata =>
      end.includes(name) ? [[`tokenizer.ggml.add_${name}_token`, yes]] : [],
    ),
    ...(end.includes("sep") ? [["tokenizer.ggml.seperator_token_id", u32Value(bos)] as [string, Buffer]] : []),
  ];

  // Norms are 1; the output is wide enough that some tokens are clearly likelier than others.
  const spread = (name: string) => (name === "output.weight" ? 0.04 : name === "token_embd.weight" ? 1 : 0.15);
  const kept = metadata.filter(([key]) => !(key in changed));
  const added = Object.entries(changed).flatMap(([key, value]): typeof metadata => (value ? [[key, value]] : []));
  const shaped = tensors.flatMap(([name, shape]): typeof tensors => {
    const [first, ...rest] = shape;
    const length = lengths[name] ?? first!;
    return length === 0 ? [] : [[name, [length, ...rest]]];
  });
  return written([...kept, ...added], shaped, seed, spread, { fill, change: merged ? merger(merged) : () => {} });
}

const rank = 4;
const adapterTensors = (base: number): [name: string, shape: number[]][] =>
  Array.from({ length: layers }, (_, layer): [name: string, shape: number[]][] => [
    [`blk.${layer}.attn_output.weight.lora_a`, [base, rank]],
    [`blk.${layer}.attn_output.weight.lora_b`, [rank, base]],
  ]).flat();
const adapterSpread = 0.3;

/** W + scale · B A, in double precision; alpha is the rank. */
function merger({ seed, scale }: { seed: number; scale: number }) {
  const next = normals(seed);
  const adapter = new Map(
    adapterTensors(width).map(([name, shape]) => [
      name,
      Float32Array.from({ length: size(shape) }, () => adapterSpread * next()),
    ]),
  );
  return (name: string, weights: Float32Array) => {
    const [a, b] = ["a", "b"].map((which) => adapter.get(`${name}.lora_${which}`));
    if (!a || !b) return;
    for (let out = 0; out < width; out++)
      for (let into = 0; into < width; into++) {
        let sum = 0;
        for (let r = 0; r < rank; r++) sum += b[out * rank + r]! * a[r * width + into]!;
        weights[out * width + into]! += scale * sum;
      }
  };
}

/** A LoRA adapter of rank 4 for the outputs of a random llama's attention; by default one that changes every figure visibly. */
export function randomAdapter({
  seed = 1,
  architecture = "llama",
  type = "adapter",
  width: base = width,
} = {}): Buffer {
  const metadata: [key: string, value: Buffer][] = [
    ["general.architecture", string(architecture)],
    ["general.type", string(type)],
    ["adapter.type", string("lora")],
    ["adapter.lora.alpha", f32Value(rank)],
  ];
  return written(metadata, adapterTensors(base), seed, () => adapterSpread);
}

function written(
  metadata: [key: string, value: Buffer][],
  tensors: [name: string, shape: number[]][],
  seed: number,
  spread: (tensor: string) => number,
  {
    fill = {},
    change = () => {},
  }: { fill?: Record<string, number>; change?: (tensor: string, weights: Float32Array) => void } = {},
): Buffer {
  const parts = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(metadata.length)];
  for (const [key, value] of metadata) parts.push(text(key), value);
  let offset = 0;
  for (const [name, shape] of tensors) {
    parts.push(text(name), u32(shape.length), ...shape.map(u64), u32(0), u64(offset));
    offset += padded(4 * size(shape));
  }
  const next = normals(seed);
  const header = Buffer.concat(parts);
  const body = [header, Buffer.alloc(padded(header.length) - header.length)];
  for (const [name, shape] of tensors) {
    const values = Float32Array.from({ length: size(shape) }, () => (shape.length === 1 ? 1 : spread(name) * next()));
    if (name === "token_embd.weight" || name === "output.weight") {
      // What is said is noise around a liking for small letters, spaces and parts of longer characters, so that it is better
      // than an even guess.
      const [length] = shape;
      for (let token = 0; token < shape[1]!; token++)
        if (name === "token_embd.weight") values[token * length!] = 4;
        else values[token * length!] = liked(token) ? 0.15 : -0.15;
    }
    if (fill[name] !== undefined) values.fill(fill[name]);
    change(name, values);
    body.push(Buffer.from(values.buffer), Buffer.alloc(padded(values.byteLength) - values.byteLength));
  }
  return Buffer.concat(body);
}

const liked = (byte: number) =>
  byte === 32 || (byte >= 97 && byte <= 122) || (byte >= 0x80 && byte < 0xc0) || (byte >= 0xe0 && byte <= 0xf0);

/** GPT-2's way of writing a byte as one printable character. */
function byteAlphabet(): string[] {
  let spare = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(printable ? byte : spare++);
  });
}

const size = (shape: number[]) => shape.reduce((product, length) => product * length, 1);
const padded = (bytes: number) => Math.ceil(bytes / 32) * 32;

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

function u64(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
}

function f32Value(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeFloatLE(value);
  return Buffer.concat([u32(6), buffer]);
}

const u32Value = (value: number) => Buffer.concat([u32(4), u32(value)]);
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const string = (value: string) => Buffer.concat([u32(8), text(value)]);
const array = (type: number, values: Buffer[]) => Buffer.concat([u32(9), u32(type), u64(values.length), ...values]);
