//! Sessions: what they open, from which pages, for how long, and how they end.

use super::stage::{Stage, Visitor};
use crate::api::{call_from, say};
use crate::world::World;
use chrono::TimeDelta;
use neurosphere::access::{Actor, Role, TenantScope};
use neurosphere::db::page::Page;
use neurosphere::db::tx::TenantTx;
use neurosphere::error::Error;
use neurosphere::identity::sessions;
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Does something as that member, through its session.
async fn acting<T>(
    stage: &Stage,
    visitor: &Visitor,
    role: Role,
    deed: impl AsyncFnOnce(&mut TenantTx<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let actor = Actor::Member { member: visitor.member, session: visitor.session };
    let scope = TenantScope::mint(stage.tenant.tenancy, actor, role);
    let mut session = stage.world.app.db.registry(&scope).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let done = deed(&mut tx).await?;
    tx.commit().await.unwrap();
    Ok(done)
}

#[tokio::test]
async fn a_session_opens_what_its_members_role_may() {
    let stage = Stage::set().await;
    let update = "mutation { updateAgent(input: {voice: \"cedar\"}) { errors { code } } }";
    let remember = "mutation { remember(input: {callerId: \"caller_00000000000000000000000000\", text: \"x\"}) \
                    { errors { code } } }";
    let deeds = [
        ("{ tenant { name } }", "oamv"),
        ("{ calls { nodes { id } } }", "oamv"),
        ("{ apiKeys { nodes { id } } }", "oa"),
        (remember, "oam"),
        (update, "oa"),
    ];
    for (role, letter) in ["owner", "admin", "member", "viewer"].into_iter().zip("oamv".chars()) {
        let visitor = stage.visitor(role).await;
        for (deed, may) in deeds {
            let answer = stage.answer(&visitor, deed).await.to_string();
            let refused = answer.contains("\"FORBIDDEN\"");
            assert_eq!(refused, !may.contains(letter), "{role} and {deed}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_role_of_the_tenants_own_opens_what_its_scopes_hold_of_what_an_admin_may() {
    let stage = Stage::set().await;
    let visitor = stage.visitor("viewer").await;
    let (tenant, member) = (stage.tenant.id.uuid(), visitor.member.uuid());
    let role = stage.world.app.clock.new_id();
    stage
        .as_platform(&format!(
            "insert into platform.roles (id, tenant_id, name, scopes)
             values ('{role}', '{tenant}', 'Front desk', '{{calls:read,members:write,unheard:of}}');
             update platform.members set role = 'custom', role_id = '{role}' where id = '{member}'"
        ))
        .await;
    for (query, may) in [
        ("{ calls { nodes { id } } }", true),
        ("{ callers { nodes { id } } }", false),
        ("{ agent { voice } }", false),
    ] {
        let refused = stage.answer(&visitor, query).await.to_string().contains("\"FORBIDDEN\"");
        assert_eq!(refused, !may, "{query}");
    }
}

#[tokio::test]
async fn in_production_a_session_may_have_trusted_documents_executed_and_nothing_else() {
    let settings =
        [("ENVIRONMENT", "production".to_owned()), ("PUBLIC_URL", "https://voice.example.com".to_owned())];
    let stage = Stage::in_world(World::with(&settings).await).await;
    let owner = stage.visitor("owner").await;
    let trusted = stage.answer(&owner, include_str!("../../../graphql/operations/agent.graphql")).await;
    assert_eq!(trusted["data"]["agent"]["name"], "Barbara", "{trusted}");
    let own = stage.asked(&owner, "{ agent { name } }", &[]).await.json::<Value>().await.unwrap();
    assert_eq!(own["errors"][0]["extensions"]["code"], "DOCUMENT_UNTRUSTED", "{own}");
    assert_eq!(own.get("data"), None, "{own}");
    let by_key = stage.api.data(&stage.tenant, "{ agent { name } }", json!({})).await;
    assert_eq!(by_key["agent"]["name"], "Barbara");
}

#[tokio::test]
async fn a_cookie_counts_only_in_what_a_page_of_this_very_host_sent() {
    let stage = Stage::set().await;
    let visitor = stage.visitor("owner").await;
    let sibling = format!("http://smith.localhost:{}", stage.api.address().port());
    for (headers, expected) in [
        (&[][..], StatusCode::OK),
        (&[("origin", ""), ("sec-fetch-site", "same-origin")], StatusCode::OK),
        (&[("origin", "")], StatusCode::FORBIDDEN),
        (&[("origin", ""), ("sec-fetch-site", "none")], StatusCode::FORBIDDEN),
        (&[("origin", ""), ("sec-fetch-site", "same-site")], StatusCode::FORBIDDEN),
        (&[("origin", &*sibling)], StatusCode::FORBIDDEN),
        (&[("origin", "null")], StatusCode::FORBIDDEN),
    ] {
        let status = stage.asked(&visitor, "{ tenant { name } }", headers).await.status();
        assert_eq!(status, expected, "{headers:?}");
    }
    let twice = format!("{}; {}", visitor.cookie(), visitor.cookie());
    let status = stage.asked(&visitor, "{ tenant { name } }", &[("cookie", &*twice)]).await.status();
    assert_eq!(status, StatusCode::UNAUTHORIZED, "two cookies of one name are none");
    let refused = stage.api.socket(&stage.tenant, &[("cookie", &*visitor.cookie())]).await.err();
    assert_eq!(refused.map(|status| status.as_u16()), Some(403), "a socket without an origin");
}

#[tokio::test]
async fn a_session_names_one_tenant() {
    let stage = Stage::set().await;
    let other = stage.world.tenant().await;
    let stranger = stage.visitor_of(&other, "owner").await;
    assert!(!stage.is_in(&stranger).await, "another tenant's session opens nothing here");
    let key_as_session = Visitor { secret: stage.tenant.api_key.clone(), ..stranger };
    assert!(!stage.is_in(&key_as_session).await, "a key is no session");
    let visitor = stage.visitor("owner").await;
    let bearer = format!("Bearer {}", visitor.secret.reveal());
    let headers = [("authorization", &*bearer), ("cookie", "")];
    let status = stage.asked(&visitor, "{ tenant { name } }", &headers).await.status();
    assert_eq!(status, StatusCode::UNAUTHORIZED, "a session is no key");
}

#[tokio::test]
async fn a_session_ends_by_itself_and_with_what_it_stands_on() {
    let stage = Stage::set().await;
    for end in [
        "update platform.sessions set seen_at = now() - interval '12 hours' where id = '{session}'",
        "update platform.sessions set expires_at = now() where id = '{session}'",
        "update platform.sessions set revoked_at = now() where id = '{session}'",
        "update platform.members set removed_at = now() where id = '{member}'",
        "update platform.people set disabled_at = now()
          where id = (select person_id from platform.members where id = '{member}')",
    ] {
        let visitor = stage.visitor("member").await;
        assert!(stage.is_in(&visitor).await);
        let end = end.replace("{session}", &visitor.session.uuid().to_string());
        stage.as_platform(&end.replace("{member}", &visitor.member.uuid().to_string())).await;
        assert!(!stage.is_in(&visitor).await, "{end}");
    }
    let visitor = stage.visitor("member").await;
    let aged = format!(
        "update platform.sessions set seen_at = now() - interval '11 hours' where id = '{}'",
        visitor.session.uuid()
    );
    stage.as_platform(&aged).await;
    assert!(stage.is_in(&visitor).await);
    stage.world.app.last_use.write(&stage.world.app.db).await.unwrap();
    let list = async |tx: &mut TenantTx<'_>| {
        sessions::of_member(tx, visitor.member, Page { first: 10, after: None }).await
    };
    let listed = acting(&stage, &visitor, Role::Member, list).await.unwrap();
    assert!(stage.world.app.clock.now() - listed[0].seen_at < TimeDelta::minutes(1), "a request is a use");
}

#[tokio::test]
async fn a_revoked_session_dies_everywhere_within_a_second() {
    let stage = Stage::set().await;
    let (visitor, bystander) = (stage.visitor("member").await, stage.visitor("member").await);
    let call = call_from(&stage.world, &stage.tenant, "+19995550142").await;
    say(&stage.world, &stage.tenant, call, 1..=1).await;
    let open = async |visitor: &Visitor| {
        let headers = [("cookie", &*visitor.cookie()), ("origin", &*stage.origin())];
        let mut socket = stage.api.socket(&stage.tenant, &headers).await.unwrap();
        socket.say(&json!({"type": "connection_init"})).await;
        assert_eq!(socket.hear().await, Ok(json!({"type": "connection_ack"})));
        let query = "subscription($call: ID!) { callTurns(callId: $call) { text } }";
        socket.subscribe("1", query, json!({"call": call.to_string()})).await;
        assert_eq!(socket.hear().await.unwrap()["payload"]["data"]["callTurns"]["text"], "turn 1");
        socket
    };
    let (mut socket, mut others) = (open(&visitor).await, open(&bystander).await);
    let foreign = async |tx: &mut TenantTx<'_>| sessions::revoke(tx, bystander.session).await;
    let refused = acting(&stage, &visitor, Role::Member, foreign).await;
    assert!(matches!(refused, Err(Error::NotFound("session"))), "{refused:?}");
    let own = async |tx: &mut TenantTx<'_>| sessions::revoke(tx, visitor.session).await;
    acting(&stage, &visitor, Role::Member, own).await.unwrap();
    let begun = stage.world.app.clock.monotonic();
    let closed = async {
        loop {
            if let Err(code) = socket.hear().await {
                return code;
            }
        }
    };
    assert_eq!(closed.await, 4403);
    assert!(begun.elapsed().as_millis() < 1_000, "{:?}", begun.elapsed());
    assert!(!stage.is_in(&visitor).await && stage.is_in(&bystander).await);
    others.say(&json!({"type": "ping"})).await;
    let answered = async {
        loop {
            match others.hear().await {
                Ok(message) if message["type"] == "pong" => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    };
    assert!(answered.await, "nobody else's socket is closed");
}

#[tokio::test]
async fn what_is_long_over_is_swept_and_nothing_else() {
    let stage = Stage::set().await;
    let (kept, over) = (stage.visitor("member").await, stage.visitor("member").await);
    let tenant = stage.tenant.id.uuid();
    stage
        .as_platform(&format!(
            "update platform.sessions set expires_at = now() - interval '31 days' where id = '{}';
             insert into platform.sign_ins (id, tenant_id, host, return_path, browser_sha256, expires_at)
             values (gen_random_uuid(), '{tenant}', 'old', '/', 'x', now() - interval '25 hours'),
                    (gen_random_uuid(), '{tenant}', 'new', '/', 'x', now() - interval '23 hours')",
            over.session.uuid()
        ))
        .await;
    neurosphere::identity::jobs::sweep(&stage.world.app.db).await.unwrap();
    let login = stage.world.as_login().await;
    login.batch_execute("begin; set local role neurosphere_platform").await.unwrap();
    let left = "select (select string_agg(id::text, ' ') from platform.sessions where tenant_id = $1),
                       (select string_agg(host, ' ') from platform.sign_ins where tenant_id = $1)";
    let left = login.query_one(left, &[&tenant]).await.unwrap();
    assert_eq!(left.get::<_, String>(0), kept.session.uuid().to_string());
    assert_eq!(left.get::<_, String>(1), "new");
}
