// What graphql-sse, the reference client of its protocol, makes of a server: one line of JSON for everything that comes of
// it. Told on the command line are the stream's address and, as JSON, the host that is asked for there, a key for it, and
// the operations, each after the other: document, variables, and after how many results the client has enough.
import { createClient } from "graphql-sse";
import http from "node:http";
import { Readable } from "node:stream";

const [url, told] = process.argv.slice(2);
const { host, key, operations } = JSON.parse(told);
const tell = (line) => console.log(JSON.stringify(line));

// Node's own fetch takes no host but the address's.
function fetchFn(address, { method, headers, body, signal }) {
    return new Promise((resolve, reject) => {
        const request = http.request(address, { method, headers: { ...headers, host }, signal }, (response) =>
            resolve(new Response(Readable.toWeb(response), { status: response.statusCode, headers: response.headers })),
        );
        request.on("error", reject);
        request.end(body);
    });
}

const client = createClient({ url, fetchFn, retryAttempts: 0, headers: { authorization: `Bearer ${key}` } });

try {
    for (const { query, variables, enough } of operations) {
        let results = 0;
        for await (const result of client.iterate({ query, variables })) {
            tell({ result });
            results += 1;
            if (results === enough) break;
        }
        tell({ over: true });
    }
} catch (failure) {
    tell({ failed: failure.response?.status ?? String(failure) });
}
client.dispose();
