#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { commands } from "./commands/index.js";
import { harmlessLines } from "./harmless.js";
import { outliveReaders } from "./terminal.js";

const { version }: { version: string } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

/** Ends with a command's exit code. A stopped command may leave work that cannot be interrupted, such as the digest of a large file. */
const exit = (code: number) => {
  process.exitCode = code;
  if (code === 130) setTimeout(() => process.exit(), 1000).unref();
};

const program = new Command("gguf-bench")
  .description("Which of these local model files should I use, publish, or worry about?")
  .helpCommand("help [command]", "print what a command takes")
  .showHelpAfterError("(gguf-bench --help shows what there is)")
  .version(version, "-v, --version", "print the version")
  .addOption(new Option("-V").hideHelp())
  .on("option:V", () => {
    process.stdout.write(`${version}\n`);
    process.exit();
  })
  .configureOutput({ writeErr: (text) => process.stderr.write(harmlessLines(text)) })
  .addHelpText(
    "after",
    `
Examples:
  gguf-bench run benchmarks/smollm2.yaml --models-dir models --data-dir data
  gguf-bench run *.gguf --text book.txt --spread 16
  gguf-bench run models --measure perplexity,divergence --text book.txt --reference model-F16
  gguf-bench run model-Q4_K_M.gguf --measure speed --prompt 512 --generate 128
  gguf-bench quantize model-F16.gguf --types Q8_0,Q4_K_M,Q2_K --imatrix model.imatrix.gguf
  gguf-bench reference model-F16.gguf --text wikitext-2 --form compact --out model-F16.kld
  gguf-bench run model-Q4_K_M.gguf --measure divergence --base model-F16.kld
  gguf-bench models hf:owner/repo --memory 8GB --context 8192
  gguf-bench fetch hf:owner/repo:Q4_K_M
  gguf-bench fetch ceval --accept-licence
  gguf-bench report reports/smollm2
  gguf-bench items reports/smollm2 --task hellaswag --flipped Q8_0 Q2_K --limit 20
  gguf-bench compare reports/smollm2:Q4_K_M reports/smollm2:Q4_K_M-im
  gguf-bench gate reports/new --baseline ladder.baseline --rule "perplexity: +0.5%" --rule "flips: 2%"

A model is a path, hf:owner/repo:quant or hf:owner/repo:file.gguf (@revision after it, if any), the same with ms:
(ModelScope) or wisemodel:, https://…, or ollama:NAME, what Ollama keeps under this name.

Downloads are kept in $GGUF_BENCH_CACHE (default: ~/.cache/gguf-bench). HF_TOKEN opens gated models; it goes
to huggingface.co, or to the first mirror in HF_ENDPOINT (one or several addresses), and to no other host.

Exit codes:
  0 all measured · 1 bad input or nothing measured · 2 some cells failed or are broken
  3 gate failed, or choose names none · 4 gate, choose or compare cannot tell
  130 stopped by the user (the same command goes on)`,
  );

for (const [name, command] of Object.entries(commands))
  command
    .line(program.command(name).showHelpAfterError(`(gguf-bench help ${name} shows what there is)`))
    .action(async (...typed: unknown[]) => exit(await command.typed(...typed)));

outliveReaders();
// Help for a command that there is not is answered as that command is: by the ones that it may have been meant for.
const [node, script, first, wanted = ""] = process.argv as [string, string, ...string[]];
const isStray = first === "help" && /^\w/.test(wanted) && wanted !== "help" && !Object.hasOwn(commands, wanted);
program.parseAsync(isStray ? [node, script, wanted] : process.argv).catch(async (error) => {
  process.stderr.write((await import("./errors.js")).describeError(error));
  process.exitCode = 1;
});
