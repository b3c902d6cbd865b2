// node loop.mjs FILE: the same by readline and JSON.parse
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

const groups = new Map();
for await (const line of createInterface({ input: createReadStream(process.argv[2]), crlfDelay: Infinity })) {
  const gen = JSON.parse(line).data;
  const key = `${gen.model}\t${gen.created_at.slice(0, 10)}`;
  let group = groups.get(key);
  if (!group) groups.set(key, (group = { generations: 0, spend: 0, prompt: 0, completion: 0, latencies: [] }));
  group.generations++;
  group.spend += gen.total_cost;
  group.prompt += gen.native_tokens_prompt;
  group.completion += gen.native_tokens_completion;
  group.latencies.push(gen.latency);
}
for (const [key, group] of groups) {
  const sorted = Float64Array.from(group.latencies).sort();
  const quantile = (percent) => sorted[Math.max(Math.ceil((sorted.length * percent) / 100), 1) - 1];
  const spend = Number(group.spend.toPrecision(12));
  console.log([key, group.generations, spend, group.prompt, group.completion, quantile(50), quantile(95)].join("\t"));
}
