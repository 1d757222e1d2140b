import { fileURLToPath } from "node:url";

/** The package's own folder beside dist/, wherever that is installed: with all below, the cards, the data and the demo's models. */
export const shippedFolder = fileURLToPath(new URL("../../datasets", import.meta.url));
