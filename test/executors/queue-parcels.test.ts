import { describe, expect, it } from "vitest";
import { dataKinds } from "../../dist/data/index.js";
import { parcel, receive, send } from "../../dist/executors/queue/parcels.js";
import { RedisLink } from "../../dist/executors/queue/redis.js";
import { hasRedis, RedisHere } from "../redis.js";

describe.skipIf(!hasRedis)("data on their way through a queue", () => {
  it("arrive as they were, and what questions share stays one object", async () => {
    const redis = await new RedisHere().start();
    const link = await RedisLink.open(redis.url, { told: () => {}, meanwhile: "" });
    const before = { text: "Examples ".repeat(1000) };
    const items = Array.from({ length: 1000 }, (_, i) => ({ id: `a/${i}`, before, options: ["x", { 7: [i, null] }] }));
    const sent = await parcel({ kind: "choice", items, 10: before }, "questions");
    expect(sent.packed.length).toBeLessThan(30_000);
    await send(link, sent);
    const received = (await receive(link, sent.sha256)) as { items: typeof items; 10: typeof before };
    expect(received).toEqual({ kind: "choice", items, 10: before });
    expect(new Set(received.items.map((item) => item.before))).toEqual(new Set([received[10]]));
    expect(await receive(link, "0".repeat(64))).toBeUndefined();

    // Data of every kind are plain: JSON loses nothing of them.
    const folders = { baseDir: process.cwd() };
    for (const data of [
      await dataKinds.text.resolve({ text: "demo-en" }, folders),
      await dataKinds.choice.resolve({ dataset: "demo-facts-en" }, folders),
    ]) {
      const one = await parcel(data, data.name);
      await send(link, one);
      expect(await receive(link, one.sha256)).toEqual(data);
    }
    await link.close();
    await redis.kill();
  }, 60_000);
});
