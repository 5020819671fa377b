// Reads [[language, query], …] as JSON from stdin; prints, for each, where the grammar meets an error, or null.
// Usage: node grammar.mjs DIRECTORY, where DIRECTORY holds node_modules.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.argv[2], "anchor.js"));
const parsers = {
  loki: require("@grafana/lezer-logql").parser,
  tempo: require("@grafana/lezer-traceql").parser,
};

const firstError = (language, query) => {
  let at = null;
  parsers[language].parse(query).iterate({
    enter: (node) => {
      if (node.type.isError && at === null) at = node.from;
    },
  });
  return at;
};

const queries = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(queries.map(([language, query]) => firstError(language, query))));
