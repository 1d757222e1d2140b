export function random(seed: number): () => number;
export function normals(seed: number): () => number;
