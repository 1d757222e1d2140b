import type { Check, Gate } from "../gate.js";

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

function testCase({ rule, variant, measurement, metric, outcome, sentence }: Check): string {
  const head = `    <testcase classname="${escaped(variant)}" name="${escaped(`${rule} (${measurement} ${metric})`)}">`;
  const body =
    outcome === "passed"
      ? `<system-out>${escaped(sentence)}</system-out>`
      : `<${elements[outcome]} type="${outcome}" message="${escaped(sentence)}"/>`;
  return `${head}\n      ${body}\n    </testcase>`;
}

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };

/** Names come from files that others made: markup is escaped, and what XML 1.0 cannot hold becomes �. */
function escaped(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "\uFFFD")
    .replace(/[&<>"']/g, (character) => entities[character]!)
    .replace(/[\t\n\r]/g, (character) => `&#${character.charCodeAt(0)};`);
}
