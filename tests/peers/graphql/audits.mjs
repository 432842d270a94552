// GraphQL over HTTP as the makers of graphql-http judge it: one line of JSON with the verdict of every audit. Told on the
// command line are the server's address, the host that is asked for there, and a key for it.
import { once } from "node:events";
import http from "node:http";
import { buffer } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import { serverAudits } from "graphql-http";

const [url, host, key] = process.argv.slice(2);

// Node's own fetch would name the address as host, and accept anything where an audit says nothing about it. How many
// requests a second may bring is not what is audited: what came too early is sent again when the server says.
async function fetchFn(to, { method = "GET", headers, body } = {}) {
    const request = http.request(to, { method, headers: { ...headers, host, authorization: `Bearer ${key}` } });
    request.end(body);
    const [answer] = await once(request, "response");
    const bytes = await buffer(answer);
    if (answer.statusCode === 429) {
        await setTimeout(Number(answer.headers["retry-after"]) * 1_000);
        return await fetchFn(to, { method, headers, body });
    }
    return new Response(bytes, { status: answer.statusCode, headers: answer.headers });
}

const verdicts = [];
for (const audit of serverAudits({ url, fetchFn })) {
    const { id, name, status, reason } = await audit.fn();
    verdicts.push({ id, name, status, reason });
}
console.log(JSON.stringify(verdicts));
