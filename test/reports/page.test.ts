import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { harmless } from "../../dist/harmless.js";
import { html } from "../../dist/reports/html/markup.js";
import { temporaryFolder } from "../support.js";
import { hostileNames, ladderRun } from "./ladder-run.js";

/** A browser of the system: `GGUF_BENCH_TEST_BROWSER` names one, else Chromium where Debian has it. */
const executable = [
  process.env.GGUF_BENCH_TEST_BROWSER,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let file: string;
let source: string;
beforeAll(async () => {
  const { run } = await ladderRun(temporaryFolder());
  file = join(run, "report.html");
  source = readFileSync(file, "utf8");
});

test("templates escape what is put into them, once", () => {
  const [name] = hostileNames;
  expect(html`<b title="${name}">${name}${html`<i>${"a < b"}</i>`}${["x", undefined, 1]}</b>`.text).toBe(
    '<b title="&lt;img src=x onerror=alert(1)&gt;">&lt;img src=x onerror=alert(1)&gt;<i>a &lt; b</i>x1</b>',
  );
});

describe("the source of report.html", () => {
  test("has one script and one style, just those that its policy allows, and no attribute that runs or fetches", () => {
    const [scripts, styles] = ["script", "style"].map((tag) =>
      Array.from(source.matchAll(new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`, "g")), ([, text]) => text!),
    );
    expect([scripts!.length, styles!.length]).toEqual([1, 1]);
    const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
    expect(source).toContain(
      `content="default-src 'none'; style-src ${hash(styles![0]!)}; script-src ${hash(scripts![0]!)}; base-uri 'none'; form-action 'none'"`,
    );
    const tags = source.replace(/<(script|style)>[\s\S]*?<\/\1>/g, "").match(/<[a-z][^>]*>/gi)!;
    expect(tags.length).toBeGreaterThan(500);
    for (const tag of tags)
      expect(tag.replace(/"[^"]*"/g, '""')).not.toMatch(/\s(style|src|srcset|href|action|data|on\w+)\s*=/i);
    expect(source).not.toMatch(/<(img|iframe|object|embed|link|base|form)\b/);
  });

  test("names from outside are text, without characters that hide or turn round", () => {
    expect(source).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/);
    for (const name of hostileNames) {
      expect(source).not.toContain(name);
      expect(source).toContain(html`${harmless(name)}`.text);
    }
  });

  test("is below 1 MB for eight variants", () => {
    expect(Buffer.byteLength(source)).toBeLessThan(500_000);
  });
});

describe.skipIf(!executable)("report.html in a browser", () => {
  let browser: Browser;
  const faults: string[] = [];
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executable!, args: ["--no-sandbox"] });
  });
  afterAll(async () => {
    await browser?.close();
  });

  async function opened(width: number, colorScheme: "light" | "dark"): Promise<Page> {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
    const page = await context.newPage();
    faults.length = 0;
    page.on("request", (request) => {
      if (request.url() !== pathToFileURL(file).href) faults.push(`request: ${request.url()}`);
    });
    page.on("dialog", (dialog) => faults.push(`dialog: ${dialog.message()}`));
    page.on("console", (message) => faults.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
    await page.goto(pathToFileURL(file).href);
    return page;
  }

  const names = (page: Page) =>
    page
      .locator("table.sortable tbody th")
      .evaluateAll((heads) => heads.map((head) => String(Reflect.get(Reflect.get(head, "dataset"), "value"))));

  test.each([
    [1280, "light"],
    [1280, "dark"],
    [390, "light"],
    [390, "dark"],
  ] as const)(
    "at %d pixels, %s: no fault of accessibility, no sideways scrolling, nothing asked for, nothing run",
    async (width, scheme) => {
      const page = await opened(width, scheme);
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
      await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true");
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
      await page.evaluate(axe);
      const found = await page.evaluate(
        "axe.run().then(({ violations, passes }) => ({ passes: passes.length, violations: violations.map(({ id, nodes }) => id + ': ' + nodes[0].html) }))",
      );
      expect(found).toEqual({ passes: expect.any(Number), violations: [] });
      expect(Reflect.get(found as object, "passes")).toBeGreaterThan(20);
      expect(faults).toEqual([]);
      await page.context().close();
    },
  );

  test("text and ground have a contrast of 4.5 : 1 or more, and pictures change with the ground", async () => {
    for (const scheme of ["light", "dark"] as const) {
      const page = await opened(1280, scheme);
      const colours = await page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, ...['body', '.soft', '.good', '.bad'].map((one) => getComputedStyle(document.querySelector(one)).color), getComputedStyle(document.querySelector('figure svg [fill=\"#106bb7\"]') ?? document.body).fill]",
      );
      const [ground, ...inks] = (colours as string[]).map((text) => text.match(/\d+/g)!.slice(0, 3).map(Number));
      for (const ink of inks.slice(0, 4)) expect(contrast(ground!, ink)).toBeGreaterThan(4.5);
      expect(contrast(ground!, inks.at(-1)!)).toBeGreaterThan(3);
      await page.context().close();
    }
  });

  test("the table sorts by keyboard and says so", async () => {
    const page = await opened(1280, "light");
    const given = await names(page);
    const head = page.locator("table.sortable th", { hasText: "PPL" });
    await page.keyboard.press("Tab");
    for (let i = 0; i < 20; i++) {
      if ((await page.evaluate("document.activeElement.textContent")) === (await head.textContent())) break;
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    expect(await head.getAttribute("aria-sort")).toBe("ascending");
    expect(await page.locator("#said").textContent()).toMatch(/^Sorted by PPL ↓.*, ascending$/);
    const values = await page
      .locator("table.sortable tbody tr")
      .evaluateAll(
        (rows, index) => rows.map((row) => Number(Reflect.get(Reflect.get(row, "cells")[index].dataset, "value"))),
        Number(await head.getAttribute("data-column")),
      );
    expect(values).toEqual(values.toSorted((a, b) => a - b));
    await page.keyboard.press("Space");
    expect(await head.getAttribute("aria-sort")).toBe("descending");
    const turned = await names(page);
    await page.keyboard.press("Enter");
    expect(await head.getAttribute("aria-sort")).toBe(null);
    expect(await names(page)).toEqual(given);
    expect(turned).not.toEqual(given);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  test("`different only` is a box for the keyboard, and says how many it leaves", async () => {
    const page = await opened(390, "dark");
    const rows = page.locator("[data-different]");
    const [all, different] = [await rows.count(), await page.locator('[data-different="yes"]').count()];
    expect(different).toBeGreaterThan(0);
    expect(different).toBeLessThan(all);
    await page.locator("#different").focus();
    await page.keyboard.press("Space");
    expect(await page.locator("#shown").textContent()).toBe(`${different} of ${all} comparisons shown`);
    expect(await page.locator("[data-different]:visible").count()).toBe(different);
    await page.keyboard.press("Space");
    expect(await page.locator("[data-different]:visible").count()).toBe(all);
    await page.context().close();
  });

  test("a variant named as a tag is a text", async () => {
    const page = await opened(1280, "light");
    expect(await page.locator("img").count()).toBe(0);
    expect(await page.locator("script").count()).toBe(1);
    expect(await names(page)).toContain(hostileNames[0]);
    expect(await page.locator("table.sortable tbody th", { hasText: hostileNames[0]! }).count()).toBeGreaterThan(0);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  test("it prints with dark ink on white, whatever the screen", async () => {
    const page = await opened(1280, "dark");
    await page.emulateMedia({ media: "print", colorScheme: "dark" });
    expect(await page.evaluate("getComputedStyle(document.body).color")).toBe("rgb(27, 31, 36)");
    expect((await page.pdf({ format: "A4" })).subarray(0, 5).toString()).toBe("%PDF-");
    await page.context().close();
  });
});

/** WCAG's ratio of two colours. */
function contrast(a: number[], b: number[]): number {
  const luminance = (colour: number[]) => {
    const [r, g, blue] = colour.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * blue!;
  };
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high! + 0.05) / (low! + 0.05);
}
