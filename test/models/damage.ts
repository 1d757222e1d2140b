import { closeSync, copyFileSync, openSync, readSync, writeSync } from "node:fs";
import { GGMLQuantizationType, gguf } from "@huggingface/gguf";

/** Bytes per block and values per block; every block begins with its scale, a half-precision number. F16 is all scale. */
const layouts: Partial<Record<GGMLQuantizationType, { bytes: number; values: number }>> = {
  [GGMLQuantizationType.F16]: { bytes: 2, values: 1 },
  [GGMLQuantizationType.Q8_0]: { bytes: 34, values: 32 },
};

/** A copy of a GGUF file in which the weights of one tensor are scaled: what a broken kernel or conversion does to a model. */
export async function damaged(source: string, target: string, tensor: string, factor: number): Promise<void> {
  const { tensorInfos, tensorDataOffset } = await gguf(source, { allowLocalFile: true });
  const info = tensorInfos.find(({ name }) => name === tensor);
  const layout = info && layouts[info.dtype];
  if (!layout) throw new Error(`${source} has no tensor ${tensor} of a known type`);
  const values = info.shape.reduce((product, size) => product * Number(size), 1);
  const data = Buffer.alloc((values / layout.values) * layout.bytes);
  copyFileSync(source, target);
  const file = openSync(target, "r+");
  try {
    const position = Number(tensorDataOffset + info.offset);
    readSync(file, data, 0, data.length, position);
    for (let at = 0; at < data.length; at += layout.bytes)
      data.writeUInt16LE(toHalf(factor * fromHalf(data.readUInt16LE(at))), at);
    writeSync(file, data, 0, data.length, position);
  } finally {
    closeSync(file);
  }
}

function fromHalf(bits: number): number {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** To the nearest; weights lie far from the largest half. */
function toHalf(value: number): number {
  const size = Math.abs(value);
  const exponent = Math.max(-14, Math.floor(Math.log2(size)));
  // A fraction that rounds up to 2 carries into the exponent by itself.
  const bits = size === 0 ? 0 : Math.round(size * 2 ** (10 - exponent)) + (exponent + 14) * 1024;
  return (value < 0 ? 0x8000 : 0) | bits;
}
