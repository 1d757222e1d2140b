import { BenchError } from "../../errors.js";

/** The variable that holds the password, where the address does not: addresses are seen in lists of processes. */
const passwordVariable = "GGUF_BENCH_QUEUE_PASSWORD";

/** The address of a queue as it may be shown and written down: without user, password and all that may be a part of them. */
export function shownQueue(url: string): string {
  if (!URL.canParse(url)) return "…";
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${/^\/\d+$/.test(pathname) ? pathname : ""}`;
}

/** The address with the password in it. Throws a BenchError for what is no address of a Redis. */
export function checkedAddress(url: string): string {
  const wrong = (why: string) =>
    new BenchError("config", `--queue: ${why}`, {
      hint: "it begins redis://HOST:6379, or rediss:// where Redis speaks TLS",
    });
  if (!/^rediss?:\/\//.test(url) || !URL.canParse(url)) throw wrong("this is no address of a Redis");
  const address = new URL(url);
  if (address.hostname === "") throw wrong("the address names no host");
  const password = process.env[passwordVariable];
  if (password && address.password === "") address.password = encodeURIComponent(password);
  return address.href;
}
