// A server of somebody else's making that serves a schema of ours and, as most do, helps those who misspell it. Told on
// the command line is the schema's file; it says in its first line where it listens.
import { readFileSync } from "node:fs";
import http from "node:http";
import { buildSchema } from "graphql";
import { createHandler } from "graphql-http/lib/use/http";

const schema = buildSchema(readFileSync(process.argv[2], "utf8"));
const server = http.createServer(createHandler({ schema, rootValue: {} }));
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/graphql`));
process.stdin.on("end", () => process.exit()).resume();
