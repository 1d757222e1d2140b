import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export const sha256Of = (body: Buffer) => createHash("sha256").update(body).digest("hex");

/** One request that a stand-in got. */
export interface Asked {
  method: string;
  url: string;
  range?: string;
  authorization?: string;
  cookie?: string;
}

/** What goes wrong with the bytes of files: lists and digests stay as they are. */
export type Ailment = "404" | "401" | "503" | "cut" | "wrong" | "slow" | "whole";

/**
 * One server that answers as Hugging Face, ModelScope and wisemodel do: their lists, their digests, their redirects to where the
 * bytes are (a second port), their routes. Repositories are told by `owner/name`, files by their paths.
 */
export class HubServer {
  readonly repositories = new Map<string, Map<string, Buffer>>();
  /** By hub: `hf`, `ms`, `wisemodel`. */
  readonly ails = new Map<string, Ailment>();
  asked: Asked[] = [];
  /** Token that private repositories want, by hub. */
  readonly tokens = new Map<string, string>();
  #servers: ReturnType<typeof createServer>[] = [];
  #at = "";
  #cdn = "";

  async start(): Promise<string> {
    this.#cdn = await this.#listen("localhost");
    this.#at = await this.#listen("127.0.0.1");
    return this.#at;
  }

  get at(): string {
    return this.#at;
  }

  stop(): void {
    for (const server of this.#servers) server.close().closeAllConnections();
  }

  put(repository: string, path: string, body: Buffer): void {
    const files = this.repositories.get(repository) ?? new Map<string, Buffer>();
    this.repositories.set(repository, files.set(path, body));
  }

  /** Requests for the bytes of files, without those for lists and heads. */
  get fetched(): Asked[] {
    return this.asked.filter(({ method, url }) => method === "GET" && /\/(cdn|file-proxy)\//.test(url));
  }

  async #listen(host: string): Promise<string> {
    const server = createServer((request, response) => {
      const { range, authorization, cookie } = request.headers;
      this.asked.push({
        method: request.method!,
        url: request.url!,
        ...(range ? { range } : {}),
        ...(authorization ? { authorization } : {}),
        ...(cookie ? { cookie } : {}),
      });
      this.#answer(request, response);
    });
    this.#servers.push(server);
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    return `http://${host}:${(server.address() as AddressInfo).port}`;
  }

  #answer(request: IncomingMessage, response: ServerResponse): unknown {
    const url = new URL(request.url!, "http://here");
    const parts = url.pathname.split("/").slice(1).map(decodeURIComponent);
    const json = (value: unknown) =>
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
    const no = (status: number) => void response.writeHead(status).end(`{"error":${status}}`);
    const files = (repository: string) => this.repositories.get(repository) ?? new Map<string, Buffer>();
    const refused = (hub: string) => {
      const token = this.tokens.get(hub);
      const shown = `${request.headers.authorization ?? ""} ${request.headers.cookie ?? ""}`;
      return this.ails.get(hub) === "401" || (token !== undefined && !shown.includes(token));
    };

    // Where the bytes are: /cdn/HUB/OWNER/NAME/PATH, without any secret.
    if (parts[0] === "cdn") {
      const body = files(`${parts[2]}/${parts[3]}`).get(parts.slice(4).join("/"));
      return body ? this.#send(request, response, body, parts[1]!) : no(404);
    }
    // Repositories of data have routes of their own, with those of files below.
    if (parts[0] === "datasets") parts.shift();
    const [a, b, c, d, e, f] = parts;
    const list =
      a === "api" && b === "models" && e === "tree"
        ? { hub: "hf", repository: `${c}/${d}` }
        : a === "api" && b === "v1" && c === "models" && f === "repo"
          ? { hub: "ms", repository: `${d}/${e}` }
          : a === "api" && b === "v4" && e === "repository"
            ? { hub: "wisemodel", repository: d! }
            : undefined;
    if (list) {
      if (refused(list.hub)) return no(401);
      if (this.ails.get(list.hub) === "503") return no(503);
      if (!this.repositories.has(list.repository)) return no(404);
      const all = [...files(list.repository)];
      if (list.hub === "hf")
        return void json(
          all.map(([path, body]) => ({
            type: "file",
            path,
            size: 130,
            oid: "0".repeat(40),
            lfs: { oid: sha256Of(body), size: body.length, pointerSize: 130 },
          })),
        );
      if (list.hub === "ms")
        return void json({
          Code: 200,
          Data: {
            Files: [
              { Path: "folder", Type: "tree" },
              ...all.map(([Path, body]) => ({
                Path,
                Type: "blob",
                Size: body.length,
                Sha256: sha256Of(body),
                Revision: "1",
              })),
            ],
          },
          Success: true,
        });
      // GitLab's pages.
      const page = Number(url.searchParams.get("page") ?? 1);
      const of = all.slice((page - 1) * 2, page * 2).map(([path]) => ({ type: "blob", path, mode: "100644" }));
      const next = `${this.#at}${url.pathname}?page=${page + 1}`;
      if (page * 2 < all.length) response.setHeader("link", `<${next}>; rel="next"`);
      return void json(of);
    }
    if (a === "v2" && d === "manifests") {
      if (refused("hf")) return no(401);
      if (this.ails.get("hf") === "503") return no(503);
      const wanted = e === "latest" ? "q4_k_m" : e!.toLowerCase();
      const found = [...files(`${b}/${c}`).keys()].find((path) => path.toLowerCase().endsWith(`${wanted}.gguf`));
      return found ? void json({ ggufFile: { rfilename: found } }) : no(404);
    }
    const place =
      a === "file-proxy"
        ? { hub: "wisemodel", owner: b, name: c, path: parts.slice(6) }
        : a === "models" && d === "resolve"
          ? { hub: "ms", owner: b, name: c, path: parts.slice(5) }
          : c === "resolve"
            ? { hub: "hf", owner: a, name: b, path: parts.slice(4) }
            : undefined;
    const body = place && files(`${place.owner}/${place.name}`).get(place.path.join("/"));
    if (!place || !body || this.ails.get(place.hub) === "404") return no(404);
    if (refused(place.hub)) return no(401);
    if (this.ails.get(place.hub) === "503") return no(503);
    // wisemodel sends files itself, and states no digest.
    if (place.hub === "wisemodel") return this.#send(request, response, body, place.hub);
    const stated =
      place.hub === "hf" ? { "x-linked-etag": `"${sha256Of(body)}"`, "x-linked-size": String(body.length) } : {};
    const location = `${this.#cdn}/cdn/${place.hub}/${place.owner}/${place.name}/${place.path.map(encodeURIComponent).join("/")}?X-Amz-Signature=SIGNED`;
    response.writeHead(302, { location, ...stated }).end("Found");
  }

  #send(request: IncomingMessage, response: ServerResponse, whole: Buffer, hub: string): void {
    const ailment = this.ails.get(hub);
    const body = ailment === "wrong" ? Buffer.from(whole).fill(7, whole.length - 64) : whole;
    const [, from, to] = ailment === "whole" ? [] : (request.headers.range?.match(/^bytes=(\d+)-(\d*)$/) ?? []);
    const start = Number(from ?? 0);
    const end = Math.min(to ? Number(to) + 1 : body.length, body.length);
    if (start > 0 && start >= body.length)
      return void response.writeHead(416, { "content-range": `bytes */${body.length}` }).end();
    const partial = from !== undefined;
    response.writeHead(partial ? 206 : 200, {
      "content-length": end - start,
      etag: `"of-${hub}-${whole.length}"`,
      ...(partial ? { "content-range": `bytes ${start}-${end - 1}/${body.length}` } : {}),
    });
    if (request.method === "HEAD") return void response.end();
    const piece = body.subarray(start, end);
    if (ailment === "slow") return void response.write(piece.subarray(0, 2000));
    // Cut after a third of what is left, until little is.
    if (ailment === "cut" && piece.length > 4000)
      return void response.write(piece.subarray(0, Math.ceil(piece.length / 3)), () =>
        setTimeout(() => response.destroy(), 100),
      );
    response.end(piece);
  }
}
