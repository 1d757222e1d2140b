/** The keys whose value may be undefined become optional, and never hold undefined. */
type Definite<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
} extends infer Both
  ? { [K in keyof Both]: Both[K] }
  : never;

/** The same record without the keys whose value is undefined: what is not known is not said, in types and in files. */
export function definite<T extends object>(record: T): Definite<T> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Definite<T>;
}
