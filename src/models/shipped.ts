import { fileURLToPath } from "node:url";

/** The folder, with all below, where the models lie that come with the program: those of the demo. */
export const shippedModels = fileURLToPath(new URL("../../datasets", import.meta.url));
