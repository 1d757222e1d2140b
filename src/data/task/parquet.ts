import { sha256 } from "../../digest.js";
import { BenchError, messageOf } from "../../errors.js";
import { bytesOf } from "../files.js";
import type { TaskTable } from "./rows.js";

/** The rows of a Parquet file, as the Hub converts datasets to. */
export async function parquetRows(path: string): Promise<TaskTable> {
  const data = await bytesOf(path);
  if (
    data.length < 12 ||
    data.toString("latin1", 0, 4) !== "PAR1" ||
    data.toString("latin1", data.length - 4) !== "PAR1"
  )
    throw new BenchError("dataset-invalid", `${path} is no whole Parquet file.`, {
      hint: "Get it anew, or say in its card of what `format:` it is.",
    });
  const [{ parquetReadObjects }, { compressors }] = await Promise.all([
    import("hyparquet"),
    import("hyparquet-compressors"),
  ]);
  const file = new Uint8Array(data).buffer;
  let rows: Record<string, unknown>[];
  try {
    rows = await parquetReadObjects({ file, compressors });
  } catch (cause) {
    throw new BenchError("dataset-invalid", `${path} cannot be read as Parquet: ${messageOf(cause)}`, { cause });
  }
  return {
    rows: rows.map((cells, index) => ({ at: `, row ${index + 1}`, cells: plain(cells) as Record<string, unknown> })),
    sha256: sha256(data),
    bytes: data.length,
  };
}

/** Values as JSON has them: whole numbers of 64 bits as numbers where they are exact, typed arrays as lists. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Date) return value.toISOString();
  if (ArrayBuffer.isView(value)) return Array.from(value as Uint8Array, plain);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
  return value ?? null;
}
