// What graphql-ws, the reference client of graphql-transport-ws, makes of a server: one line of JSON for everything that
// comes of it. Told on the command line are the socket's address and, as JSON, the host that is asked for there, a key for
// it, the page that asks (`origin`, or none), and the operations, each after the other on one socket: document, variables,
// and after how many results the client has enough (`enough`, or none: it stays to the end).
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const SOCKET_KEPT_MS = 1_000;

const [url, told] = process.argv.slice(2);
const { host, key, origin, operations } = JSON.parse(told);
const tell = (line) => console.log(JSON.stringify(line));

class Socket extends WebSocket {
    constructor(address, protocols) {
        super(address, protocols, { headers: { host, ...(origin && { origin }) } });
        this.on("unexpected-response", (request, response) => {
            tell({ status: response.statusCode });
            request.destroy(new Error("not upgraded"));
        });
    }
}

const client = createClient({
    url,
    webSocketImpl: Socket,
    retryAttempts: 0,
    lazyCloseTimeout: SOCKET_KEPT_MS,
    connectionParams: { authorization: `Bearer ${key}` },
    on: { connected: () => tell({ connected: true }) },
});

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
    tell({ failed: failure.code ?? failure });
}
await client.dispose();
