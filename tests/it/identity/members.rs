//! Members over the business's own API: inviting, roles, removing, leaving, sessions; and who may do which of it to whom.

use super::stage::{Stage, Visitor};
use neurosphere::access::{Actor, Role, TenantScope};
use neurosphere::audit::{self, Chain};
use neurosphere::db::tx::TenantTx;
use neurosphere::error::Error;
use neurosphere::identity::{Standing, members};
use neurosphere::secret::Secret;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::process::Command;

const INVITE: &str = "mutation($input: InviteMemberInput!) { inviteMember(input: $input) {
    invitation { id email role roleId invitedById sentAt revokedAt } errors { code field } } }";
const CHANGE: &str = "mutation($input: ChangeMemberRoleInput!) { changeMemberRole(input: $input) {
    member { id role roleId } errors { code field } } }";
const REMOVE: &str = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) {
    member { id } errors { code field } } }";
const CREATE_ROLE: &str = "mutation($input: CreateRoleInput!) { createRole(input: $input) {
    role { id name scopes } errors { code field } } }";
const LEAVE: &str = "mutation { leave { member { id } errors { code field } } }";

impl Stage {
    /// The payload of a mutation that a page sends for its visitor.
    async fn done(&self, visitor: &Visitor, mutation: &str, input: Value) -> Value {
        let (cookie, origin) = (visitor.cookie(), self.origin());
        let headers = [("authorization", ""), ("cookie", &*cookie), ("origin", &*origin)];
        let body = json!({"query": mutation, "variables": {"input": input}}).to_string();
        payload(self.api.send((Method::POST, "/graphql"), &self.tenant, &headers, body).await).await
    }

    /// The same with a key.
    async fn with_key(&self, key: &Secret, mutation: &str, input: Value) -> Value {
        let body = json!({"query": mutation, "variables": {"input": input}}).to_string();
        let at = (&*self.tenant.slug, key);
        payload(self.api.request((Method::POST, "/graphql"), at, &[], body).await).await
    }
}

async fn payload(response: reqwest::Response) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer.get("errors"), None, "{answer}");
    answer["data"].as_object().unwrap().values().next().unwrap().clone()
}

fn code(payload: &Value) -> &str {
    payload["errors"][0]["code"].as_str().unwrap_or_default()
}

fn invitation(email: &str, role: &str) -> Value {
    json!({"idempotencyKey": format!("invite {email} {role}"), "email": email, "role": role})
}

#[tokio::test]
async fn nobody_gives_or_takes_more_than_they_may_themselves() {
    let stage = Stage::set().await;
    let ranks = ["OWNER", "ADMIN", "MEMBER", "VIEWER"];
    let mut visitors = Vec::new();
    for rank in ranks {
        visitors.push((rank, stage.visitor(&rank.to_lowercase()).await));
    }
    for (rank, visitor) in &visitors {
        for (place, role) in ranks.into_iter().enumerate() {
            let email = format!("{rank}-{role}@example.com").to_lowercase();
            let answer = stage.done(visitor, INVITE, invitation(&email, role)).await;
            let expected = match *rank {
                "OWNER" => "",
                "ADMIN" if 0 < place => "",
                "ADMIN" => "EXCEEDS_OWN_RIGHTS",
                _ => "FORBIDDEN",
            };
            assert_eq!(code(&answer), expected, "{rank} invites {role}: {answer}");
        }
    }
    let [(_, owner), (_, admin), (_, member), _] = &visitors[..] else { panic!("four") };
    let id = |visitor: &Visitor| visitor.member.to_string();
    let up = json!({"memberId": id(admin), "role": "OWNER"});
    assert_eq!(
        code(&stage.done(admin, CHANGE, up).await),
        "EXCEEDS_OWN_RIGHTS",
        "nobody makes themselves more"
    );
    let down = json!({"memberId": id(owner), "role": "VIEWER"});
    assert_eq!(code(&stage.done(admin, CHANGE, down).await), "EXCEEDS_OWN_RIGHTS");
    assert_eq!(code(&stage.done(admin, REMOVE, json!({"memberId": id(owner)})).await), "EXCEEDS_OWN_RIGHTS");
    assert_eq!(code(&stage.done(member, REMOVE, json!({"memberId": id(admin)})).await), "FORBIDDEN");
    let removed = stage.done(admin, REMOVE, json!({"memberId": id(member)})).await;
    assert_eq!((code(&removed), &removed["member"]["id"]), ("", &json!(id(member))));
    assert!(!stage.is_in(member).await, "a member's sessions go with it");
    assert_eq!(code(&stage.done(admin, REMOVE, json!({"memberId": id(member)})).await), "NOT_FOUND");
    let key = stage.tenant.api_key.clone();
    let answer = stage.with_key(&key, INVITE, invitation("by-key@example.com", "OWNER")).await;
    assert_eq!((code(&answer), &answer["invitation"]["invitedById"]), ("", &Value::Null), "{answer}");
}

#[tokio::test]
async fn an_invitation_is_made_once_and_refused_for_what_it_is() {
    let stage = Stage::set().await;
    let owner = stage.visitor("owner").await;
    let asked = invitation(" Ann@Example.com ", "MEMBER");
    let first = stage.done(&owner, INVITE, asked.clone()).await;
    assert_eq!(first["invitation"]["email"], "ann@example.com");
    assert_eq!(first["invitation"]["invitedById"], owner.member.to_string());
    assert_eq!(stage.done(&owner, INVITE, asked.clone()).await, first, "repeated");
    let mut other = asked;
    other["role"] = json!("VIEWER");
    assert_eq!(code(&stage.done(&owner, INVITE, other.clone()).await), "IDEMPOTENCY_MISMATCH");
    other["idempotencyKey"] = json!("another request");
    assert_eq!(code(&stage.done(&owner, INVITE, other.clone()).await), "ALREADY_INVITED");
    for (field, value) in
        [("email", json!("nobody")), ("idempotencyKey", json!("short")), ("role", json!("CUSTOM"))]
    {
        let mut wrong = invitation("new@example.com", "VIEWER");
        wrong[field] = value;
        assert_eq!(code(&stage.done(&owner, INVITE, wrong).await), "INVALID", "{field}");
    }
    let id = json!({"invitationId": first["invitation"]["id"]});
    let one = |verb: &str| {
        let (first, rest) = verb.split_at(1);
        let input = format!("{}{rest}InvitationInput", first.to_uppercase());
        format!(
            "mutation($input: {input}!) {{ {verb}Invitation(input: $input) {{
                 invitation {{ id email role roleId invitedById sentAt revokedAt }} errors {{ code }} }} }}"
        )
    };
    let resent = stage.done(&owner, &one("resend"), id.clone()).await;
    assert_eq!(resent["errors"], json!([]));
    let revoked = stage.done(&owner, &one("revoke"), id.clone()).await;
    assert_ne!(revoked["invitation"]["revokedAt"], Value::Null);
    assert_eq!(stage.done(&owner, &one("revoke"), id.clone()).await, revoked, "repeated");
    assert_eq!(code(&stage.done(&owner, &one("resend"), id).await), "INVITATION_CLOSED");
    assert_eq!(code(&stage.done(&owner, INVITE, other).await), "", "invited anew");
}

#[tokio::test]
async fn a_role_of_the_businesss_own_is_made_given_changed_and_kept_while_used() {
    let stage = Stage::set().await;
    let (owner, visitor) = (stage.visitor("owner").await, stage.visitor("viewer").await);
    let role_of = |name: &str, scopes: Value| json!({"idempotencyKey": format!("make {name}"), "name": name, "scopes": scopes});
    let made = stage.done(&owner, CREATE_ROLE, role_of("Front desk", json!(["CALLS_READ"]))).await;
    assert_eq!(made["role"]["scopes"], json!(["CALLS_READ"]));
    assert_eq!(stage.done(&owner, CREATE_ROLE, role_of("Front desk", json!(["CALLS_READ"]))).await, made);
    assert_eq!(
        code(&stage.done(&owner, CREATE_ROLE, role_of("front DESK", json!(["CALLS_READ"]))).await),
        "ROLE_EXISTS"
    );
    assert_eq!(code(&stage.done(&owner, CREATE_ROLE, role_of("x", json!([]))).await), "INVALID");
    let role = made["role"]["id"].clone();
    let given = json!({"memberId": visitor.member.to_string(), "role": "CUSTOM", "roleId": role});
    let given = stage.done(&owner, CHANGE, given).await;
    assert_eq!((&given["member"]["role"], &given["member"]["roleId"]), (&json!("CUSTOM"), &role));
    assert!(!stage.is_in(&visitor).await, "the old session ends with the old role");
    let remove =
        "mutation($input: RemoveRoleInput!) { removeRole(input: $input) { role { id } errors { code } } }";
    assert_eq!(code(&stage.done(&owner, remove, json!({"roleId": role})).await), "ROLE_IN_USE");
    let update = "mutation($input: UpdateRoleInput!) { updateRole(input: $input) { role { name scopes } errors { code } } }";
    let wider = json!({"roleId": role, "name": "Reception", "scopes": ["MEMBERS_WRITE", "CALLS_READ"]});
    assert_eq!(stage.done(&owner, update, wider).await["role"]["name"], "Reception");
    let again =
        format!("update platform.sessions set revoked_at = null where id = '{}'", visitor.session.uuid());
    stage.as_platform(&again).await;
    let clerk = stage.done(&visitor, INVITE, invitation("x@example.com", "VIEWER")).await;
    assert_eq!(code(&clerk), "EXCEEDS_OWN_RIGHTS", "a viewer may read callers, and this role may not");
    let same =
        json!({"idempotencyKey": "a colleague", "email": "x@example.com", "role": "CUSTOM", "roleId": role});
    assert_eq!(code(&stage.done(&visitor, INVITE, same).await), "");
    let foreign = json!({"memberId": visitor.member.to_string(), "role": "CUSTOM",
                         "roleId": "role_00000000000000000000000000"});
    assert_eq!(code(&stage.done(&owner, CHANGE, foreign).await), "NOT_FOUND");
}

#[tokio::test]
async fn of_two_owners_who_go_at_once_one_stays() {
    let stage = Stage::set().await;
    for _ in 0..8 {
        let pair = [stage.visitor("owner").await, stage.visitor("owner").await];
        let leave = async |visitor: &Visitor| {
            let actor = Actor::Member { member: visitor.member, session: visitor.session };
            let scope = TenantScope::mint(stage.tenant.tenancy, actor, Role::Owner);
            let mut session = stage.world.app.db.registry(&scope).await.unwrap();
            let mut tx = session.begin().await.unwrap();
            let left = members::leave(&mut tx).await?;
            tx.commit().await.unwrap();
            Ok::<_, Error>(left.id)
        };
        let demote = async |by: &Visitor, whom: &Visitor| {
            let actor = Actor::Member { member: by.member, session: by.session };
            let scope = TenantScope::mint(stage.tenant.tenancy, actor, Role::Owner);
            let mut session = stage.world.app.db.registry(&scope).await.unwrap();
            let mut tx: TenantTx<'_> = session.begin().await.unwrap();
            let changed = members::change_standing(&mut tx, whom.member, Standing::Viewer).await?;
            tx.commit().await.unwrap();
            Ok::<_, Error>(changed.id)
        };
        let (one, two) = futures_util::join!(leave(&pair[0]), demote(&pair[0], &pair[1]));
        assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|is| **is).count(), 1, "{one:?} {two:?}");
        let refused = [one.err(), two.err()].into_iter().flatten().next().unwrap();
        assert!(matches!(refused, Error::Conflict { code: "last_owner", .. }), "{refused:?}");
        let gone = format!(
            "update platform.members set removed_at = now() where tenant_id = '{}'",
            stage.tenant.id.uuid()
        );
        stage.as_platform(&gone).await;
    }
    let last = stage.visitor("owner").await;
    let answer = stage.answer(&last, LEAVE).await;
    assert_eq!(code(&answer["data"]["leave"]), "LAST_OWNER");
    assert!(stage.is_in(&last).await);
    let _second = stage.visitor("owner").await;
    assert_eq!(code(&stage.answer(&last, LEAVE).await["data"]["leave"]), "");
    assert!(!stage.is_in(&last).await);
}

#[tokio::test]
async fn the_viewer_sees_who_it_is_and_ends_its_sessions_and_the_log_says_so() {
    let stage = Stage::set().await;
    let (visitor, other) = (stage.visitor("member").await, stage.visitor("member").await);
    let answer = stage.answer(&visitor, "{ viewer { member { id role email } sessionId may } }").await;
    let viewer = &answer["data"]["viewer"];
    assert_eq!(viewer["member"]["id"], visitor.member.to_string());
    assert_eq!(
        (&viewer["member"]["role"], &viewer["sessionId"]),
        (&json!("MEMBER"), &json!(visitor.session.to_string()))
    );
    let may: Vec<&str> = viewer["may"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(may.contains(&"calls.read") && !may.contains(&"members.write"), "{may:?}");
    let by_key = stage.api.data(&stage.tenant, "{ viewer { member { id } sessionId } }", json!({})).await;
    assert_eq!(by_key["viewer"], json!({"member": null, "sessionId": null}));
    let sessions =
        |of: &Visitor| format!("{{ sessions(memberId: \"{}\") {{ nodes {{ id agent }} }} }}", of.member);
    let own = stage.answer(&visitor, &sessions(&visitor)).await;
    assert_eq!(own["data"]["sessions"]["nodes"][0]["id"], visitor.session.to_string());
    let foreign = stage.answer(&visitor, &sessions(&other)).await.to_string();
    assert!(foreign.contains("\"FORBIDDEN\""), "{foreign}");
    let revoke = "mutation($input: RevokeSessionInput!) { revokeSession(input: $input) { sessionId errors { code } } }";
    let answer = stage.done(&visitor, revoke, json!({"sessionId": other.session.to_string()})).await;
    assert_eq!(code(&answer), "NOT_FOUND", "another's is not told from none");
    let answer = stage.done(&visitor, revoke, json!({"sessionId": visitor.session.to_string()})).await;
    assert_eq!(answer["errors"], json!([]));
    assert!(!stage.is_in(&visitor).await && stage.is_in(&other).await);
    let key = stage.tenant.api_key.clone();
    stage.with_key(&key, revoke, json!({"sessionId": other.session.to_string()})).await;
    assert!(!stage.is_in(&other).await);
    let db = &stage.world.app.db;
    let chain = audit::verify(db, Chain::Tenant(stage.tenant.id), None).await.unwrap();
    assert!(chain.is_ok(), "the chain holds");
}

#[tokio::test]
async fn people_are_kept_at_the_command_line_too() {
    let stage = Stage::set().await;
    let slug = &*stage.tenant.slug;
    let run = |arguments: &[&str]| {
        let url = stage.world.app.config.database.main.owner_url.as_ref().unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_neurosphere"))
            .arg("member")
            .args(arguments)
            .env_remove("DATABASE_APP_URL")
            .env_remove("SMTP_URL")
            .env("DATABASE_URL", url.reveal())
            .env("MASTER_KEY", crate::world::environment("MASTER_KEY").unwrap())
            .output()
            .unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8(said).unwrap())
    };
    let (good, said) = run(&["invite", slug, "--email", "ann@example.com", "--role", "owner"]);
    assert!(good && said.contains(&format!("http://{slug}.localhost:8080/signin?invitation=")), "{said}");
    let id = said.split_whitespace().nth(1).unwrap().to_owned();
    let (good, again) = run(&["link", slug, &id]);
    assert!(good && again.contains("/signin?invitation=") && !said.contains(again.trim()), "{again}");
    let owner = stage.visitor("owner").await;
    let (good, said) = run(&["list", slug]);
    assert!(
        good && said.contains("ann@example.com  invited") && said.contains(&owner.member.to_string()),
        "{said}"
    );
    let member = owner.member.to_string();
    for (arguments, words) in [
        (vec!["role", slug, &member, "viewer"], "a business keeps one owner"),
        (vec!["remove", slug, &member], "a business keeps one owner"),
        (vec!["invite", slug, "--email", "ann@example.com", "--role", "viewer"], "is invited already"),
        (vec!["invite", slug, "--email", "ann", "--role", "viewer"], "not an e-mail address"),
        (vec!["invite", slug, "--email", "b@c.d", "--role", "king"], "the roles are owner, admin"),
        (vec!["invite", "nobody-at-all", "--email", "b@c.d", "--role", "viewer"], "no such tenant"),
    ] {
        let (good, said) = run(&arguments);
        assert!(!good && said.contains(words), "{arguments:?}: {said}");
    }
    let second = stage.visitor("owner").await.member.to_string();
    let (good, said) = run(&["role", slug, &second, "viewer"]);
    assert!(good && said.contains("is viewer now"), "{said}");
    let (good, said) = run(&["remove", slug, &second]);
    assert!(good && said.contains("is no member of"), "{said}");
    assert!(stage.is_in(&owner).await);
}
