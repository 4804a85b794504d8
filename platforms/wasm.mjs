// Runs a WebAssembly program that exports `run` and prints through `env.print`.
import { readFileSync, writeSync } from "node:fs";

const module = await WebAssembly.compile(readFileSync(process.argv[2]));
const instance = await WebAssembly.instantiate(module, {
  env: { print: (at, length) => writeSync(1, new Uint8Array(instance.exports.memory.buffer, at, length)) },
});
process.exit(instance.exports.run() ? 0 : 1);
