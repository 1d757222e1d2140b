/** A minimal GGUF (version 3) for tests: metadata of a few types, tensors of zeros. */
export function tinyGguf(
  options: {
    /** A Buffer is a value as it stands in the file: its type's number, then its bytes. */
    metadata?: Record<string, string | number | boolean | string[] | Buffer>;
    tensors?: { name: string; shape: number[]; type: number; bytes: number }[];
    architecture?: boolean;
  } = {},
): Buffer {
  const metadata = {
    ...(options.architecture === false
      ? {}
      : {
          "general.architecture": "llama",
          "llama.block_count": 2,
          "llama.context_length": 128,
          "llama.embedding_length": 64,
          "llama.feed_forward_length": 96,
          "llama.attention.head_count": 4,
          "llama.attention.head_count_kv": 2,
          "tokenizer.ggml.model": "gpt2",
          "tokenizer.ggml.tokens": ["a", "b", "c"],
        }),
    ...options.metadata,
  };
  const tensors = options.tensors ?? [{ name: "token_embd.weight", shape: [64, 32], type: 1, bytes: 4096 }];
  const parts: Buffer[] = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(Object.keys(metadata).length)];
  for (const [key, value] of Object.entries(metadata)) {
    parts.push(text(key));
    if (Buffer.isBuffer(value)) parts.push(value);
    else if (typeof value === "string") parts.push(u32(8), text(value));
    else if (typeof value === "boolean") parts.push(u32(7), Buffer.from([value ? 1 : 0]));
    else if (typeof value === "number") parts.push(u32(4), u32(value));
    else parts.push(u32(9), u32(8), u64(value.length), Buffer.concat(value.map(text)));
  }
  let offset = 0;
  for (const { name, shape, type, bytes } of tensors) {
    parts.push(text(name), u32(shape.length), ...shape.map(u64), u32(type), u64(offset));
    offset += padded(bytes);
  }
  const header = Buffer.concat(parts);
  return Buffer.concat([header, Buffer.alloc(padded(header.length) - header.length), Buffer.alloc(offset)]);
}

/** Values of other types than the plain ones. */
export const f32 = (value: number) => {
  const buffer = Buffer.alloc(4);
  buffer.writeFloatLE(value);
  return Buffer.concat([u32(6), buffer]);
};
export const i32 = (value: number) => Buffer.concat([u32(5), u32(value >>> 0)]);
export const uint32 = (value: number) => Buffer.concat([u32(4), u32(value)]);
export const yes = (value: boolean) => Buffer.concat([u32(7), Buffer.from([value ? 1 : 0])]);
export const strings = (values: string[]) => Buffer.concat([u32(9), u32(8), u64(values.length), ...values.map(text)]);
export const string = (value: string) => Buffer.concat([u32(8), text(value)]);
export const i64 = (value: bigint) => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64LE(value);
  return Buffer.concat([u32(11), buffer]);
};
export const i64s = (values: bigint[]) =>
  Buffer.concat([u32(9), u32(11), u64(values.length), ...values.map((value) => i64(value).subarray(4))]);
export const i32s = (values: number[]) =>
  Buffer.concat([u32(9), u32(5), u64(values.length), ...values.map((value) => u32(value >>> 0))]);

function padded(bytes: number): number {
  return Math.ceil(bytes / 32) * 32;
}

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

function text(value: string): Buffer {
  return Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
}
