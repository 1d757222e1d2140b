import { join } from "node:path";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { parseAddress } from "../../models/addresses.js";
import { cacheDirectory } from "../../models/cache.js";
import type { Address } from "../../models/download/index.js";
import { hubOf } from "../../models/hubs/index.js";
import { type Remote, remote } from "../../models/remote.js";
import { addressAt, servedRepository } from "../../models/repository.js";
import { addressWithoutSecrets } from "../../secrets.js";
import { isWithin } from "../data.js";

/**
 * A file of data as a card names it: the servers that have it, in turn, and where it is kept until it is unpacked. Hubs are asked at
 * their endpoints and mirrors, as for models. `digest`: the sha256 that it must have.
 *
 * Throws a BenchError `dataset-card` for an address that is none.
 */
export function remoteData(
  url: string | readonly string[],
  digest: string | undefined,
  mirrors: readonly string[] | undefined,
): Remote {
  const stated = digest === undefined ? {} : { stated: { sha256: digest } };
  const addresses = [url]
    .flat()
    .flatMap((one) => addressesOf(one, mirrors).map((address) => ({ ...address, ...stated })));
  return remote(addresses, join(cacheDirectory(), "downloads"));
}

function addressesOf(given: string, mirrors: readonly string[] | undefined): Address[] {
  const [, scheme = "", owner, name, path, revision] =
    given.match(/^([a-z]+):datasets\/([^/]+)\/([^/]+)\/([^@#]+)(?:@(.+))?$/) ?? [];
  const hub = hubOf(scheme);
  if (hub?.data && owner && name && path && [owner, name].every(isWithin) && isWithin(path)) {
    const repository = { owner, name, revision: revision ?? hub.revision };
    const place = servedRepository(hub, repository, given, mirrors);
    return place.endpoints.map((at, server) => addressAt(place, hub.data!(at, repository, path), server));
  }
  const web = /^https?:/.test(given) ? parseAddress(given) : undefined;
  if (web?.kind !== "web")
    throw new BenchError("dataset-card", `"${addressWithoutSecrets(given)}" is no address that data are fetched from`, {
      hint: "A card names https://… or hf:datasets/owner/repo/path.",
    });
  const { url, authorization, hub: site } = web;
  return [{ url, shown: addressWithoutSecrets(given), ...definite({ authorization, hub: site?.access }) }];
}
