/** Addresses in a text. A file's own address may hold ? and # as part of its name, and no secret. */
const ADDRESS =
  /\b(?!file:)(?:openai:)?(?:[a-z][a-z0-9+.-]+:[/\\]{2}|https?:|(?:hf|huggingface|ms|modelscope|wisemodel):)\S+/gi;
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
    const [, scheme, rest] = address!.match(/^((?:openai:)?[^:]+:[/\\]*)(.*)$/s) ?? [];
    if (scheme === undefined) return found;
    const [, place, query = ""] = rest!.match(/^([^?#]*)(.*)$/s)!;
    const host = place!.match(/^[^/\\]*/)![0];
    const path = place!.slice(host.length);
    const end = query.includes("?") ? "?…" : namesByFragment.test(scheme!) ? query : "";
    return `${scheme}${host.slice(host.lastIndexOf("@") + 1)}${path}${end}${after}`;
  });
}

/** The same of a text that is one address as a whole, perhaps after `--model=`: blanks are then part of it. */
export function addressWithoutSecrets(text: string): string {
  return withoutSecrets(/^(--[\w-]+=)?https?:/i.test(text) ? text.replace(/\s/g, "%20") : text);
}
