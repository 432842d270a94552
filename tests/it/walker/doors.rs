//! The other ways in: routes, hosts, keys, stream tokens, webhooks and jobs, each tried by B for what is A's.

use super::Stage;
use crate::api::Headers;
use crate::voice::stage::{sign, upgrade};
use crate::world::ACCOUNT_SID;
use neurosphere::access::Role;
use neurosphere::app::Only;
use neurosphere::calls::{self, Arrival, Arrived};
use neurosphere::clock::Clock;
use reqwest::Method;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tokio::net::TcpListener;

/// Every route. Those of pages are walked by tests/it/identity, as somebody who signs in; all others here.
const ROUTES: [&str; 21] = [
    "/",
    "/graphql",
    "/graphql/stream",
    "/graphql/ws",
    "/healthz",
    "/link/{token}",
    "/metrics",
    "/pages/hand-over.js",
    "/pages/style.css",
    "/readyz",
    "/signin",
    "/signin/complete",
    "/signin/{id}",
    "/signin/{id}/accept",
    "/signin/{id}/invitation",
    "/signin/{id}/mail",
    "/signout",
    "/twilio/after",
    "/twilio/media/{token}",
    "/twilio/status",
    "/twilio/voice",
];

/// Every kind of job; a tenant's by what its key names, the platform's own by nothing that a tenant could name.
const JOBS: [(&str, Option<&str>); 13] = [
    ("calls.close", Some("call")),
    ("calls.conclude", Some("call")),
    ("calls.sweep_tokens", None),
    ("jobs.sweep", None),
    ("members.mail_invitation", Some("invitation")),
    ("memory.embed", Some("memory")),
    ("sign_in.mail_link", None),
    ("sign_in.sweep", None),
    ("tenants.fill_pools", None),
    ("tenants.finish", None),
    ("tenants.mirror", None),
    ("tenants.remove", None),
    ("tenants.verify_domain", None),
];

#[test]
fn every_route_is_walked() {
    let mut declared = BTreeSet::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let text = std::fs::read_to_string(entry).unwrap();
                let routes = text.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
                declared.extend(routes.map(str::to_owned));
            }
        }
    }
    assert_eq!(
        declared.iter().map(String::as_str).collect::<Vec<_>>(),
        ROUTES,
        "teach the walker the new route"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_host_key_or_header_brings_b_to_a() {
    let stage = Stage::set().await;
    let before = stage.digest_of_a().await;
    let everything =
        "{ tenant { name slug numbers } callers { nodes { phone name } } calls { nodes { from } } }";
    let body = json!({"query": everything}).to_string();
    let port = stage.api.address().port();
    let of = |slug: &str| format!("{slug}.localhost:{port}");
    let host_a = of(&stage.a.tenant.slug);
    let key_a = format!("Bearer {}", stage.a.tenant.api_key.reveal());
    let id_a = stage.a.tenant.id.to_string();
    let cases: [(&str, Headers<'_>, u16); 9] = [
        ("A's host with B's key", &[("host", &host_a)], 401),
        ("B's host with A's key", &[("authorization", &key_a)], 401),
        ("no key", &[("authorization", "")], 401),
        ("a host that nobody has", &[("host", "nobody.localhost")], 404),
        ("no tenant's host", &[("host", "localhost")], 404),
        ("a forwarded host", &[("x-forwarded-host", &host_a)], 200),
        ("a tenant's header", &[("x-tenant", &id_a)], 200),
        ("a forwarded header", &[("forwarded", "host=a.localhost")], 200),
        ("a page of A's", &[("origin", "http://a.localhost")], 403),
    ];
    for (what, headers, status) in cases {
        let answer = stage.api.send((Method::POST, "/graphql"), &stage.b, headers, body.clone()).await;
        assert_eq!(answer.status(), status, "{what}");
        let text = answer.text().await.unwrap();
        stage.clean(what, &text);
        assert!(status != 200 || text.contains(&stage.b.slug), "{what}: it is B that is answered: {text}");
    }
    for (what, headers, status) in cases {
        let headers: Vec<_> = headers.iter().copied().chain([("accept", "text/event-stream")]).collect();
        let answer =
            stage.api.send((Method::POST, "/graphql/stream"), &stage.b, &headers, body.clone()).await;
        assert_eq!(answer.status(), status, "{what}, as events");
        let text = answer.text().await.unwrap();
        stage.clean(what, &text);
        assert!(status != 200 || text.contains(&stage.b.slug), "{what}: it is B that is told: {text}");
    }
    for (what, headers) in
        [("A's host", [("host", host_a.as_str())]), ("a page of A's", [("origin", "http://a.localhost")])]
    {
        let socket = stage.api.socket(&stage.b, &headers).await;
        if let Ok(mut socket) = socket {
            let key = format!("Bearer {}", stage.b.api_key.reveal());
            socket.say(&json!({"type": "connection_init", "payload": {"authorization": key}})).await;
            assert_eq!(socket.hear().await, Err(4403), "{what}");
        }
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = stage.api.send((Method::GET, path), &stage.b, &[("host", &host_a)], "").await;
        let text = answer.text().await.unwrap();
        stage.clean(path, &text);
        assert!(!text.contains(&stage.a.tenant.id.uuid().simple().to_string()), "{path} names A's schema");
    }
    assert_eq!(stage.digest_of_a().await, before, "A is as it was");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_account_of_bs_has_no_say_in_as_calls() {
    let stage = Stage::set().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let public = format!("http://{}", listener.local_addr().unwrap());
    let mut config = stage.world.app.config.clone();
    config.http.public_url = public.parse().unwrap();
    let app = neurosphere::app::App::new(config, Clock::system()).unwrap();
    let gateway = app.start_on(listener, Only::Voice).unwrap();
    let token = stream_token_of_a(&stage).await;
    let before = stage.digest_of_a().await;
    let call_sid = "CA00000000000000000000000000000042";
    for path in ["/twilio/voice", "/twilio/status", "/twilio/after"] {
        let fields = BTreeMap::from([
            ("AccountSid", stage.account.sid.as_str()),
            ("CallSid", call_sid),
            ("CallStatus", "completed"),
            ("From", "+19995550142"),
            ("To", stage.a.tenant.number.reveal()),
        ]);
        let signed: String = fields.iter().flat_map(|(name, value)| [*name, *value]).collect();
        let signature = sign(stage.account.auth_token.reveal(), &format!("{public}{path}{signed}"));
        let request = stage.world.app.http.post(format!("{public}{path}")).form(&fields);
        let answer = request.header("X-Twilio-Signature", signature).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        stage.clean(path, &text);
        assert!(
            matches!(
                (path, status),
                ("/twilio/voice", 403) | ("/twilio/status", 204) | ("/twilio/after", 200)
            ),
            "{path}: {status} {text}"
        );
    }
    let url = format!("{}/twilio/media/{token}", public.replace("http", "ws"));
    let refused = upgrade(&url, &sign(stage.account.auth_token.reveal(), &url)).await;
    assert_eq!(refused.err(), Some(403), "A's token, signed by B's account");
    assert_eq!(stage.digest_of_a().await, before, "A is as it was, its token unused");
    gateway.stop().await;
    stage.end().await;
}

/// The right to open a stream of A's.
async fn stream_token_of_a(stage: &Stage) -> String {
    let arrival = Arrival {
        call_sid: "CA00000000000000000000000000000041".to_owned(),
        account_sid: ACCOUNT_SID.to_owned(),
        from: None,
        to: stage.a.tenant.number.clone(),
    };
    let mut session = stage.world.app.db.tenant(&stage.a.tenant.scope(Role::Carrier)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let arrived = calls::arrive(&mut tx, &arrival).await.unwrap();
    tx.commit().await.unwrap();
    match arrived {
        Arrived::In { stream_token, .. } => stream_token.reveal().to_owned(),
        busy @ Arrived::Busy { .. } => panic!("{busy:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_bs_that_names_what_is_as_does_nothing() {
    let stage = Stage::set().await;
    let runner = stage.world.app.runner();
    assert_eq!(runner.kinds(), JOBS.map(|(kind, _)| kind), "teach the walker the new kind of job");
    runner.run_due().await.unwrap();
    let before = stage.digest_of_a().await;
    let login = stage.world.as_login().await;
    let schema = stage.b.schema();
    for (kind, names) in JOBS {
        let key = match names {
            Some("call") => stage.a.call.to_string(),
            Some("memory") => stage.a.memory.to_string(),
            Some("invitation") => stage.a.invitation.to_string(),
            Some(other) => panic!("teach the walker what {other} is"),
            None => stage.a.tenant.id.to_string(),
        };
        let enqueue = |tenant: &str| {
            format!(
                "begin; set local role {schema};
                 insert into platform.jobs (id, tenant_id, kind, key) values (gen_random_uuid(), {tenant}, '{kind}', '{key}');
                 commit"
            )
        };
        for foreign in ["null".to_owned(), format!("'{}'", stage.a.tenant.id.uuid())] {
            login
                .batch_execute(&enqueue(&foreign))
                .await
                .expect_err("a tenant enqueues in its own name only");
            login.batch_execute("rollback").await.unwrap();
        }
        login.batch_execute(&enqueue(&format!("'{}'", stage.b.id.uuid()))).await.unwrap();
    }
    assert_eq!(runner.run_due().await.unwrap(), JOBS.len());
    assert_eq!(stage.digest_of_a().await, before, "A is as it was");
    let told =
        "select coalesce(string_agg(last_error, ' '), '') from platform.jobs where last_error is not null";
    login.batch_execute("begin; set local role neurosphere_platform").await.unwrap();
    let told: String = login.query_one(told, &[]).await.unwrap().get(0);
    assert!(told.contains("the platform's work in the name of a tenant"), "{told}");
    stage.end().await;
}
