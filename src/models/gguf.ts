/** What a GGUF file says of itself, read without loading the model. */
export interface ModelFacts {
  /** Absolute paths; more than one for a split model. */
  files: string[];
  /** Of the single file; of the concatenated per-file digests for a split model. */
  sha256: string;
  /** Bytes of the files. */
  bytes: number;
  tensorBytes: number;
  parameters: number;
  /** 8 × tensorBytes / parameters. */
  bpw: number;
  /** `Q4_K_M`, `F16` …, from `general.file_type`; else the type that most weights have. */
  quant: string;
  architecture: string;
  name: string;
  /** Tokens of context the model was trained for. */
  contextLength: number;
  vocabulary: number;
  layers: number;
  /** Bytes of KV cache per token at 16 bits. */
  kvBytesPerToken: number;
  /** sha256 of everything that makes the tokenizer: model, pre-tokenizer, tokens, merges, added-BOS rules. */
  tokenizerSha256: string;
  /** From `quantize.imatrix.*`, where the file was quantized with an importance matrix. */
  imatrix?: { file: string; dataset: string; chunks: number };
  chatTemplateSha256?: string;
}
