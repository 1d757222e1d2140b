/** How the name, or the path, of a part of a split model is made; undefined for another one. */
export function splitName(name: string): { stem: string; number: number; count: number } | undefined {
  const [, stem, number, count] = name.match(/^(.*)-(\d{5})-of-(\d{5})\.gguf$/s) ?? [];
  return stem === undefined ? undefined : { stem, number: Number(number), count: Number(count) };
}

/** The name of another part of the model that a part is of. */
export function partNamed({ stem, count }: { stem: string; count: number }, number: number): string {
  const digits = (of: number) => String(of).padStart(5, "0");
  return `${stem}-${digits(number)}-of-${digits(count)}.gguf`;
}

/** The names of all parts, in order. */
export const partNames = (split: { stem: string; count: number }): string[] =>
  Array.from({ length: split.count }, (_, index) => partNamed(split, index + 1));
