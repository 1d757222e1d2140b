import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { conversationDay, isDay, strftime } from "../../dist/chat/date.js";
import { ChatRenderer, type ChatTemplate, type Message } from "../../dist/chat/template.js";
import { BenchError } from "../../dist/errors.js";
import { root } from "../repository.js";
import { temporaryFolder } from "../support.js";

const folder = temporaryFolder();
const renderers: ChatRenderer[] = [];
afterAll(() => {
  for (const one of renderers) one.close();
});

function renderer(
  text: string,
  allowed = { seconds: 30, megabytes: 64 },
  about: Partial<ChatTemplate> = {},
): ChatRenderer {
  const made = new ChatRenderer({ text, bos: "<s>", eos: "</s>", ...about }, "model.gguf", {}, undefined, allowed);
  renderers.push(made);
  return made;
}

const question: Message[] = [{ role: "user", content: "Which?\n\nA. 猫\nB. <s>" }];

describe("a conversation by its template", () => {
  it("stands as the template writes it, up to where the answer begins", async () => {
    const llama = renderer(
      "{{ bos_token }}{% for m in messages %}\n    {%- if m.role == 'user' %}\n[{{ m['content'] | trim }}]\n    {% endif %}\n{% endfor %}{% if add_generation_prompt %}>{% endif %}{{ eos_token }}",
    );
    expect(await llama.render(question)).toBe("<s>[Which?\n\nA. 猫\nB. <s>]\n></s>");
    expect(await llama.render([{ role: "user", content: " again " }])).toBe("<s>[again]\n></s>");
  });

  it("has no tools, no documents, and always the same day", async () => {
    const asked = renderer(
      "{{ messages[0].content }} {{ tools is defined }} {{ documents is defined }} {{ strftime_now('%d %b %Y, %A %H:%M %Q %%') }}",
    );
    expect(await asked.render(question)).toBe(`${question[0]!.content} false false 26 Jul 2024, Friday 00:00 %Q %`);
    const now = (format: string) => strftime(format, conversationDay);
    expect(now("%F")).toBe(conversationDay);
    expect(["%A", "%B", "%b", "%j", "%-d"].map(now)).toEqual(["Friday", "July", "Jul", "208", "26"]);
    expect(asked.day).toBe(conversationDay);
    expect(renderer("{{ messages[0].content }}").day).toBeUndefined();
  });

  it("is told the day and the variables that a variant says", async () => {
    const text =
      "{{ messages[0].content }} {{ strftime_now('%A %d %B %Y, %j') }} {{ enable_thinking }} {{ effort }} {{ bos_token }}";
    const warnings: string[] = [];
    const said = {
      templateKwargs: { enable_thinking: false, effort: "low", thinking: true },
      conversationDay: "2025-01-05",
    };
    const one = new ChatRenderer({ text, bos: "<s>", eos: "" }, "model.gguf", said, (message) =>
      warnings.push(message),
    );
    renderers.push(one);
    expect(await one.render([{ role: "user", content: "a" }])).toBe("a Sunday 05 January 2025, 005 false low <s>");
    expect(one.day).toBe("2025-01-05");
    expect(warnings).toEqual([
      "its chat template has no variable `thinking`: setting it in `templateKwargs` changes nothing",
    ]);
    expect(isDay("2025-02-29")).toBe(false);
    expect(isDay("2024-02-29")).toBe(true);
  });

  it("is refused when the template leaves a message out", async () => {
    const system: Message = { role: "system", content: " Be brief.\n" };
    const dropping = renderer(
      "{% for m in messages %}{% if m.role != 'system' %}<{{ m.content }}>{% endif %}{% endfor %}",
    );
    const refusing = renderer(
      "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{{ messages[0].content }}",
    );
    const [lost, refused] = await Promise.all(
      [dropping, refusing].map((one) => one.render([system, ...question]).catch((error) => error)),
    );
    expect(lost).toMatchObject({
      code: "template-failed",
      message: "the chat template of model.gguf leaves out the system message without a word.",
      hint: expect.stringMatching(/take `system` away/),
    });
    expect(refused).toMatchObject({
      message: "the chat template of model.gguf fails: System role not supported.",
      hint: lost.hint,
    });
    expect(await dropping.render(question)).toBe(`<${question[0]!.content}>`);
    const last = renderer("{{ messages[-1].content }}");
    const turns: Message[] = [question[0]!, { role: "assistant", content: "B" }, { role: "user", content: "And?" }];
    await expect(last.render(turns)).rejects.toThrow("leaves out or rewrites a message of the user");
    // What an assistant thought is not said again.
    const thought = renderer("{% for m in messages %}[{{ m.content.split('</think>')[-1] | trim }}]{% endfor %}");
    expect(await thought.render([question[0]!, { role: "assistant", content: "<think>Hm.</think>\n B" }])).toContain(
      "[B]",
    );
  });

  it("may be asked for by several at a time", async () => {
    const one = renderer("{{ messages[0].content }}");
    const all = await Promise.all(["a", "b", "c"].map((content) => one.render([{ role: "user", content }])));
    expect(all).toEqual(["a", "b", "c"]);
  });

  const failing: [what: string, template: string, said: RegExp][] = [
    ["refuses", "{{ raise_exception('Only user and assistant roles!') }}", /fails: Only user and assistant roles!\.?$/],
    ["is no Jinja", "{% for x in %}", /fails: \S/],
    ["asks for what is not there", "{{ messages[3].content.strip() }}", /fails: \S/],
    [
      "never ends",
      "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
      /does not end within 1 s\.$/,
    ],
    ["is endless in its range", "{% for i in range(0, 1, 0) %}{% endfor %}", /fails: \S/],
    [
      "takes all memory in strings",
      "{% set ns = namespace(a=[], s='x') %}{% for i in range(100000) %}{% set ns.a = ns.a + [ns.s * i * 50] %}{% endfor %}",
      /takes more than 64 MB of memory|fails: \S/,
    ],
    [
      "takes all memory in numbers",
      "{% for i in range(10000000000) %}{% endfor %}",
      /takes more than 64 MB of memory|fails: \S/,
    ],
    [
      "doubles a string for ever",
      "{% set ns = namespace(s='xx') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
      /takes more than 64 MB of memory|fails: \S/,
    ],
  ];
  it.each(failing)("one that %s is a sentence", async (what, template, said) => {
    const one = renderer(template, { seconds: /never/.test(what) ? 1 : 30, megabytes: 64 });
    for (let again = 0; again < 2; again++) {
      const error = await one.render(question).catch((error) => error);
      expect(error).toBeInstanceOf(BenchError);
      expect(error).toMatchObject({ code: "template-failed", hint: expect.stringMatching(/\S/) });
      expect(error.message).toMatch(/^the chat template of model\.gguf /);
      expect(error.message).toMatch(said);
      expect(error.message.length).toBeLessThan(200);
    }
  });
});

const python = process.env.GGUF_BENCH_TEST_PYTHON ?? "python3";
const hasJinja = spawnSync(python, ["-c", "import jinja2"]).status === 0;
const script = join(root, "../shared/tools/vocabularies.sh");
const there = hasJinja && existsSync(script);

/** What transformers does with a template (`render_jinja_template`), on the same day, without tools and documents. */
const reference = `
import json, sys
from datetime import datetime
from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

class Generation(Extension):
    tags = {"generation"}
    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_plain"), [], [], body).set_lineno(line)
    def _plain(self, caller):
        return caller()

def refuse(message):
    raise TemplateError(message)

asked = json.load(open(sys.argv[1]))
env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
env.filters["tojson"] = lambda x, ensure_ascii=False, indent=None, separators=None, sort_keys=False: json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
env.globals["raise_exception"] = refuse
env.globals["strftime_now"] = lambda form: datetime.fromisoformat(asked["day"]).strftime(form)
out = {}
for name, template in asked["templates"].items():
    out[name] = []
    for messages in asked["conversations"]:
        try:
            out[name].append({"text": env.from_string(template).render(messages=messages, add_generation_prompt=True, bos_token="<BOS>", eos_token="<EOS>")})
        except Exception as error:
            out[name].append({"fault": str(error)})
json.dump(out, sys.stdout)
`;

/** Templates with what @huggingface/jinja does not know: none gives another text. */
const refused = [
  ["ByteDance-Seed-OSS.jinja", "Object keys must be strings: got IntegerValue."],
  ["tencent-Hy3.jinja", "Cannot call something that is not a function: got UndefinedValue."],
].flatMap(([name, fault]) =>
  [0, 1].map((i) => `${name} ${i}: {"fault":"the chat template of model.gguf fails: ${fault}"}`),
);

describe.skipIf(!there)(
  `the chat templates of real models${there ? "" : " (no Jinja2, or no templates, on this machine)"}`,
  () => {
    it("give what Python's Jinja2 gives", async () => {
      const made = spawnSync("bash", [script, join(root, "node_modules"), folder], { encoding: "utf8" });
      expect(made.stderr).toBe("");
      const templates = Object.fromEntries(
        readdirSync(join(folder, "templates")).map((name) => [
          name,
          readFileSync(join(folder, "templates", name), "utf8"),
        ]),
      );
      const conversations: Message[][] = [
        question,
        [
          { role: "system", content: "You are a helpful assistant. 你是一个乐于助人的助手。" },
          { role: "user", content: "Which?  \n" },
          { role: "assistant", content: 'A "quoted" answer & <tag>' },
          { role: "user", content: "And now?" },
        ],
      ];
      writeFileSync(join(folder, "asked.json"), JSON.stringify({ templates, conversations, day: conversationDay }));
      writeFileSync(join(folder, "reference.py"), reference);
      const rendered = spawnSync(python, [join(folder, "reference.py"), join(folder, "asked.json")], {
        ...{ encoding: "utf8", maxBuffer: 1 << 28 },
      });
      expect(rendered.stderr).toBe("");
      const theirs: Record<string, ({ text: string } | { fault: string })[]> = JSON.parse(rendered.stdout);
      const other: string[] = [];
      let alike = 0;
      for (const [name, text] of Object.entries(templates)) {
        const one = renderer(text, undefined, { bos: "<BOS>", eos: "<EOS>" });
        for (const [i, messages] of conversations.entries()) {
          const [own, their] = [
            await one.render(messages).catch((error: Error) => ({ fault: error.message })),
            theirs[name]![i]!,
          ];
          const same = typeof own === "string" ? "text" in their && their.text === own : "fault" in their;
          if (same) alike++;
          else other.push(`${name} ${i}: ${JSON.stringify(own)} | ${JSON.stringify(their)}`);
        }
        one.close();
      }
      process.stdout.write(
        `${Object.keys(templates).length} templates: ${alike} conversations alike, ${other.length} not\n`,
      );
      expect(other.map((one) => one.replace(/ \| .*/, ""))).toEqual(refused);
    }, 600_000);
  },
);
