import { harmless } from "../harmless.js";
import type { Check, Gate } from "../judge/index.js";

/**
 * The form that CI systems show: one test case per check. Undecided is an `error`, for the question has no answer; what
 * the schema allows is what Jenkins, GitLab and the GitHub reporters read.
 */
export function junit({ checks }: Gate): string {
  const count = (outcome: Check["outcome"]) => checks.filter((check) => check.outcome === outcome).length;
  const totals = `tests="${checks.length}" failures="${count("failed")}" errors="${count("undecided")}"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="gguf-bench gate" ${totals}>`,
    `  <testsuite name="gguf-bench gate" ${totals}>`,
    ...checks.map(testCase),
    "  </testsuite>",
    "</testsuites>",
    "",
  ].join("\n");
}

const elements = { failed: "failure", undecided: "error" } as const;

function testCase({ rule, variant, measurement, metric, outcome, sentence, notes = [] }: Check): string {
  const message = escaped([sentence, ...notes].join(" "));
  const head = `    <testcase classname="${escaped(variant)}" name="${escaped(`${rule} (${measurement} ${metric})`)}">`;
  const body =
    outcome === "passed"
      ? `<system-out>${message}</system-out>`
      : `<${elements[outcome]} type="${outcome}" message="${message}"/>`;
  return `${head}\n      ${body}\n    </testcase>`;
}

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };

/** Names come from files that others made: markup is escaped, and what XML 1.0 cannot hold is not harmless either. */
function escaped(text: string): string {
  return harmless(text).replace(/[&<>"']/g, (character) => entities[character]!);
}
