// Prints the ids that llama.cpp (the prebuilt one of npm's node-llama-cpp) gives texts:
// `node tokens.mjs MODEL.gguf < LINES`, each line JSON `{"text": …, "special": bool}`; one line of ids
// for each. CHECK_MODULES names the folder with node_modules.

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.env.CHECK_MODULES, "check.mjs"));
const { getLlama } = await import(pathToFileURL(require.resolve("node-llama-cpp")));
const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: 1 });
const model = await llama.loadModel({ modelPath: process.argv[2], vocabOnly: true });
const parts = [];
for await (const part of process.stdin) parts.push(part);
const lines = Buffer.concat(parts).toString("utf8").split("\n").filter((line) => line);
for (const line of lines) {
  const { text, special } = JSON.parse(line);
  console.log(JSON.stringify(Array.from(model.tokenize(text, special))));
}
await llama.dispose();
