//! A tenant whose every text column holds a word that stands nowhere else, so that one byte of it in the wrong place is
//! seen. Columns are taken from the catalog: a new one gets its canary by being there, or the walker stops.

use crate::api::{call_from, hang_up, say};
use crate::world::{TestTenant, World};
use neurosphere::ids::{ApiKeyId, CallId, CallerId, InvitationId, MemberId, MemoryId, RoleId, SessionId};
use tokio_postgres::Client;

const CALLER: &str = "+19995550142";

/// Columns that get no canary of their own: words of a closed list, figures, what a program must be able to parse, and
/// numbers, which are canaries already. All others must take one.
const WITHOUT: [&str; 28] = [
    "agent_settings.sliders",
    "agent_settings.time_zone",
    "agent_settings.vad",
    "call_events.leg",
    "call_summaries.resolution",
    "call_summaries.sentiment",
    "call_summaries.source",
    "call_turns.speaker",
    "callers.phone",
    "calls.from_number",
    "calls.state",
    "calls.to_number",
    "memories.embed_model",
    "memories.kind",
    "memories.source",
    "platform.api_keys.scopes",
    "platform.credentials.provider",
    "platform.invitations.role",
    "platform.jobs.kind",
    "platform.jobs.state",
    "platform.members.role",
    "platform.phone_numbers.account_sid",
    "platform.phone_numbers.number",
    "platform.roles.scopes",
    "platform.schema_ledger.checksum",
    "platform.schema_ledger.state",
    "platform.sign_ins.method",
    "platform.sign_ins.stage",
];

/// A canary in the form that the column's reader can parse; most columns take any.
fn in_form(place: &str, canary: &str) -> Option<String> {
    let rule = format!(
        r#"'[{{"keyword": "{canary}", "number": "+12025550100", "description": "{canary}"}}]'::jsonb"#
    );
    match place {
        "agent_settings.transfer_rules" => Some(rule),
        "platform.invitations.email" | "platform.members.email" => Some(format!("'{canary}@example.com'")),
        "platform.sign_ins.return_path" => Some(format!("'/{canary}'")),
        "platform.slugs.slug" => Some("slug".to_owned()),
        "platform.schema_ledger.error" => Some("null".to_owned()),
        _ => None,
    }
}

/// What the tenant has.
pub(super) struct Filled {
    pub(super) tenant: TestTenant,
    pub(super) caller: CallerId,
    pub(super) call: CallId,
    pub(super) live_call: CallId,
    pub(super) memory: MemoryId,
    pub(super) key: ApiKeyId,
    pub(super) member: MemberId,
    pub(super) role: RoleId,
    pub(super) invitation: InvitationId,
    pub(super) session: SessionId,
    /// Words of what it keeps in its own schema, which nobody else may see.
    pub(super) kept: Vec<String>,
    /// Words of what the platform knows of it, which only operators may see.
    pub(super) known: Vec<String>,
}

impl Filled {
    /// Words that no other tenant may see.
    pub(super) fn canaries(&self) -> impl Iterator<Item = &String> {
        self.kept.iter().chain(&self.known)
    }
}

/// Fills a tenant through the product's own operations, then every text column with its canary.
pub(super) async fn fill(world: &World, tenant: TestTenant) -> Filled {
    let call = call_from(world, &tenant, CALLER).await;
    say(world, &tenant, call, 1..=3).await;
    hang_up(world, &tenant, call).await;
    let live_call = call_from(world, &tenant, CALLER).await;
    say(world, &tenant, live_call, 1..=1).await;
    let (owner, login) = (world.as_owner().await, world.as_login().await);
    let schema = tenant.schema();
    let rest = format!(
        "begin; set local role {schema};
         insert into {schema}.caller_profiles (caller_id, template_version_id)
             select c.id, t.template_version_id from {schema}.callers c, platform.tenants t;
         insert into {schema}.memories (id, caller_id, kind, text, text_sha256, source)
             select gen_random_uuid(), id, 'fact', 'x', 'x', 'agent' from {schema}.callers;
         insert into {schema}.call_summaries (call_id, summary, sentiment, resolution, source)
             values ('{call}', 'x', 'neutral', 'unknown', 'model');
         insert into {schema}.call_events (call_id, sequence, at_ms, leg, kind)
             values ('{call}', 1, 1, 'gateway', 'x');
         commit",
        call = call.uuid()
    );
    login.batch_execute(&rest).await.unwrap();
    let people = people(world, &tenant, &login).await;
    let mut kept = vec![CALLER.trim_start_matches('+').to_owned()];
    plant(&owner, &schema, "true", &mut kept).await;
    let own_rows = format!("tenant_id = '{}'", tenant.id.uuid());
    let mut known = vec![tenant.slug.clone(), tenant.number.reveal()[1..].to_owned()];
    plant(&owner, "platform", &own_rows, &mut known).await;
    let ids =
        format!("select c.id, m.id from {schema}.callers c join {schema}.memories m on m.caller_id = c.id");
    login.batch_execute(&format!("begin; set local role {schema}")).await.unwrap();
    let ids = login.query_one(&ids, &[]).await.unwrap();
    let (caller, memory): (uuid::Uuid, uuid::Uuid) = (ids.get(0), ids.get(1));
    login.batch_execute("set local role neurosphere_platform").await.unwrap();
    let key = "select id from platform.api_keys where tenant_id = $1";
    let key: uuid::Uuid = login.query_one(key, &[&tenant.id.uuid()]).await.unwrap().get(0);
    let (caller, memory, key) = (caller.into(), memory.into(), key.into());
    Filled {
        tenant,
        caller,
        call,
        live_call,
        memory,
        key,
        member: people.member,
        role: people.role,
        invitation: people.invitation,
        session: people.session,
        kept,
        known,
    }
}

/// Who is in a tenant and who comes in, by the ids that operations take.
struct People {
    member: MemberId,
    role: RoleId,
    invitation: InvitationId,
    session: SessionId,
}

async fn people(world: &World, tenant: &TestTenant, login: &Client) -> People {
    let [person, role, member, invitation, session, sign_in]: [uuid::Uuid; 6] =
        std::array::from_fn(|_| world.app.clock.new_id());
    let people = format!(
        "begin; set local role neurosphere_platform;
         insert into platform.people (id, name) values ('{person}', 'x');
         insert into platform.identities (id, iss, sub, tenant_id, person_id)
             values (gen_random_uuid(), 'x', 'x', '{tenant}', '{person}');
         insert into platform.roles (id, tenant_id, name, scopes) values ('{role}', '{tenant}', 'x', '{{calls:read}}');
         insert into platform.members (id, tenant_id, person_id, name, role, role_id)
             values ('{member}', '{tenant}', '{person}', 'x', 'custom', '{role}');
         insert into platform.invitations (id, tenant_id, email, role, invited_by, expires_at, sent_at)
             values ('{invitation}', '{tenant}', 'x@y', 'viewer', '{member}', now() + interval '7 days', now());
         insert into platform.sessions (id, tenant_id, member_id, secret_sha256, factors, agent, address, seen_at, expires_at)
             values ('{session}', '{tenant}', '{member}', 'x', '{{mail}}', 'x', 'x', now(), now() + interval '7 days');
         insert into platform.sign_ins (id, tenant_id, host, return_path, browser_sha256, expires_at)
             values ('{sign_in}', '{tenant}', 'x', '/', 'x', now() + interval '10 minutes');
         commit",
        tenant = tenant.id.uuid()
    );
    login.batch_execute(&people).await.unwrap();
    People {
        member: member.into(),
        role: role.into(),
        invitation: invitation.into(),
        session: session.into(),
    }
}

/// Writes a canary into every text, JSON and text-array column of a schema's tables, in the rows that are meant.
async fn plant(owner: &Client, schema: &str, rows: &str, canaries: &mut Vec<String>) {
    let columns = "
        select c.relname::text, a.attname::text, format_type(a.atttypid, null) from pg_attribute a
          join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = $1 and c.relkind = 'r' and c.relname <> 'schema_history' and 0 < a.attnum
           and not a.attisdropped and a.attgenerated = '' and format_type(a.atttypid, null) in ('text', 'jsonb', 'text[]')
           and ($1 <> 'platform' or exists (select from pg_attribute t where t.attrelid = c.oid and t.attname = 'tenant_id'))
         order by 1, 2";
    let columns = owner.query(columns, &[&schema]).await.unwrap();
    assert!(10 < columns.len(), "the catalog shows the columns of {schema}");
    for column in &columns {
        let (table, name, kind): (String, String, String) = (column.get(0), column.get(1), column.get(2));
        let place =
            if schema == "platform" { format!("platform.{table}.{name}") } else { format!("{table}.{name}") };
        let canary = format!("canary-{}", uuid::Uuid::new_v4().simple());
        if WITHOUT.contains(&place.as_str()) {
            continue;
        }
        let value = in_form(&place, &canary).unwrap_or_else(|| match kind.as_str() {
            "jsonb" => format!(r#"'{{"name": "{canary}"}}'::jsonb"#),
            "text[]" => format!("array['{canary}']"),
            // rows that must differ differ behind the canary
            _ => format!("'{canary}' || '-' || substr(md5({table}::text), 1, 4)"),
        });
        let write = format!(
            "begin; alter table {schema}.{table} no force row level security;
             update {schema}.{table} set {name} = {value} where {rows};
             alter table {schema}.{table} force row level security; commit"
        );
        if let Err(refused) = owner.batch_execute(&write).await {
            panic!("{place} takes no canary: say why in WITHOUT, or teach the walker its form ({refused:?})");
        }
        canaries.push(canary);
    }
}
