import { sha256 } from "../../digest.js";
import { type Listener, listenerOn } from "../../machine.js";

/** Flags of servers that decide no figure: where one listens, what it and its model are called, its keys, what it logs. */
const silent =
  /^--?(m|model|host|port|a|alias|api-key(-file)?|log-[\w-]+|lv|v|verbose|no-webui|path|served-model-name)$/;

/** Whether an address is this machine's own. */
export const isHere = (url: string) => /^(127(\.\d+){3}|localhost|\[::1\])$/.test(new URL(url).hostname);

/** The process of a server of this machine, where the system shows it. */
export function processOf(url: string): Listener | undefined {
  const { port, protocol } = new URL(url);
  return isHere(url) ? listenerOn(Number(port) || (protocol === "https:" ? 443 : 80)) : undefined;
}

/** What tells how a server was started: a digest of its flags, where its process is seen; else its address. */
export function startOf(url: string): string {
  const { command: [, ...words] = [] } = processOf(url) ?? {};
  if (words.length === 0) return url;
  const isFlag = (word: string) => /^--?[a-z]/i.test(word);
  const kept = words.filter((word, i) => {
    const flag = isFlag(word) ? word : (words[i - 1] ?? "");
    return !silent.test(flag.replace(/=.*/s, ""));
  });
  return sha256(kept.join("\0")).slice(0, 12);
}
