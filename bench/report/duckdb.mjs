// node duckdb.mjs THREADS FILE: the same in SQL, with the columns named so that nothing has to be guessed
import { DuckDBInstance } from "@duckdb/node-api";

const [threads, file] = process.argv.slice(2);
const connection = await (await DuckDBInstance.create(":memory:", { threads })).connect();
const members = "model VARCHAR, created_at VARCHAR, total_cost DOUBLE, native_tokens_prompt BIGINT, "
  + "native_tokens_completion BIGINT, latency DOUBLE";
const result = await connection.runAndReadAll(`
  SELECT data.model, data.created_at[1:10], count(*), sum(data.total_cost), sum(data.native_tokens_prompt),
    sum(data.native_tokens_completion), quantile_disc(data.latency, 0.5), quantile_disc(data.latency, 0.95)
  FROM read_json('${file.replaceAll("'", "''")}', format = 'newline_delimited', columns = {data: 'STRUCT(${members})'})
  GROUP BY ALL`);
for (const row of result.getRows()) {
  row[3] = Number(row[3].toPrecision(12));
  console.log(row.join("\t"));
}
