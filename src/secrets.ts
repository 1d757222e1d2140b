/** Addresses in a text. A file's own address may hold ? and # as part of its name, and no secret. */
const scheme = String.raw`(?!file:)(?:openai:)?(?:[a-z][a-z0-9+.-]+:[/\\]{2}|https?:|(?:hf|huggingface|ms|modelscope|wisemodel):)`;
/** openai:HOST:PORT is no address, but may hold what an address would. */
const bare = String.raw`openai:(?=[^\s/]*:\d)(?=\S*[@?])`;
const ADDRESS = new RegExp(String.raw`\b(?:${scheme}|${bare})\S+`, "gi");
const opening = new RegExp(String.raw`^((?:${scheme}|openai:)[/\\]*)(.*)$`, "is");
/** What follows # in such an address is no secret: hf:owner/repo/file.gguf#branch, openai:http://host:8080/v1#model. */
const namesByFragment = /^(?:hf|huggingface|ms|modelscope|wisemodel|openai):/i;

/**
 * A text whose addresses hold no secret: user, password and fragment are cut out, and a query becomes `?…`, because any
 * part of it may be a key or a signature.
 */
export function withoutSecrets(text: string): string {
  return text.replace(ADDRESS, (found) => {
    // Marks after an address belong to the sentence around it.
    const [, address, after] = found.match(/^(.*?)(["'`)\].,:;]*)$/s)!;
    const [, start, rest] = address!.match(opening) ?? [];
    if (start === undefined) return found;
    const [, place, query = ""] = rest!.match(/^([^?#]*)(.*)$/s)!;
    const host = place!.match(/^[^/\\]*/)![0];
    const path = place!.slice(host.length);
    const end = query.includes("?") ? "?…" : namesByFragment.test(start) ? query : "";
    return `${start}${host.slice(host.lastIndexOf("@") + 1)}${path}${end}${after}`;
  });
}

/** The same of a text that is one address as a whole, perhaps after `--model=`: blanks are then part of it. */
export function addressWithoutSecrets(text: string): string {
  return withoutSecrets(/^(--[\w-]+=)?https?:/i.test(text) ? text.replace(/\s/g, "%20") : text);
}

/** What flags and variables are called whose values are secret: --api-key, -hft, HF_TOKEN, PGPASSWORD; not --api-key-file or --max-tokens. */
const secretName =
  /(?:^|[-_]|api|access|auth|private)keys?(?:[-_]?\d+)?$|(?:token|secrets?|pass(?:wor)?ds?|passwd|passphrase|credentials?)(?:[-_]?\d+)?$|^-+hft$/i;
/** Variables may say last whose key it is: API_KEY_OPENAI. */
const secretVariable = /(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD)_(?!\w*(?:FILE|PATH|DIR|ENV)$)/i;
/** A flag or a variable with its value: a whole word of a command, or within the text that a shell is given. */
const given =
  /(?<=^|[\s"'`;&|(])(--?[A-Za-z][\w-]*(?:=|\s+)|(?:(?<=^)[A-Za-z_]\w*|[A-Z_][A-Z\d_]*)=)("[^"]+"|'[^']+'|[^\s"']+)/g;

const isSecret = (name: string) => secretName.test(name) || (!name.startsWith("-") && secretVariable.test(name));

/** A command without the secrets that flags and variables in it are given (`--api-key X`, `--hf-token=X`, `env HF_TOKEN=X`), and where those are. */
export function commandWithoutSecrets(command: readonly string[]): {
  command: string[];
  secrets: { index: number; name: string }[];
} {
  const secrets: { index: number; name: string }[] = [];
  const shown = command.map((word, index) => {
    const flag = command[index - 1] ?? "";
    if (/^-+[\w-]+$/.test(flag) && isSecret(flag) && !/^--|^$/.test(word)) {
      secrets.push({ index: index - 1, name: flag });
      return "…";
    }
    return withoutSecrets(word).replace(given, (all: string, before: string, value: string) => {
      const name = before.replace(/[=\s]+$/, "");
      const shells = /\s/.test(word) && /^["']?\$/.test(value);
      if (!isSecret(name) || shells) return all;
      secrets.push({ index, name });
      return `${before}…`;
    });
  });
  return { command: shown, secrets };
}
