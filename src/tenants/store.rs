//! The SQL of the tenants slice: registry, numbers, keys and sealed credentials in the control plane; agent settings in
//! the tenant's schema.

use serde_json::Value;
use uuid::Uuid;

use super::agent::Agent;
use crate::db::tx::{PlatformTx, Sql, TenantTx};
use crate::db::{Row, Type};
use crate::error::Fault;

const CLAIM_SLUG: Sql = Sql::new(
    "insert into platform.tenants (id, slug, name, template_version_id) values ($1, $2, $3, $4)
     on conflict (slug) do nothing",
    &[Type::UUID, Type::TEXT, Type::TEXT, Type::UUID],
);
const BY_SLUG: Sql = Sql::new(
    "select id, slug, name, state, template_version_id, schema_version from platform.tenants where slug = $1",
    &[Type::TEXT],
);
const BY_HOST: Sql = Sql::new(
    "select t.id, t.slug, t.name, t.state, t.template_version_id, t.schema_version from platform.tenants t
       join platform.domains d on d.tenant_id = t.id where d.host = $1 and d.verified_at is not null",
    &[Type::TEXT],
);
const ALL: Sql = Sql::new(
    "select id, slug, name, state, template_version_id, schema_version from platform.tenants order by slug",
    &[],
);
const MOVE_STATE: Sql = Sql::new(
    "update platform.tenants set state = $2, schema_version = $4, updated_at = now() where id = $1 and state = $3",
    &[Type::UUID, Type::TEXT, Type::TEXT, Type::INT4],
);
const ASSIGN_NUMBER: Sql = Sql::new(
    "insert into platform.phone_numbers (number, tenant_id, account_sid) values ($1, $2, $3)
     on conflict (number) do update set account_sid = excluded.account_sid
         where phone_numbers.tenant_id = excluded.tenant_id
     returning number",
    &[Type::TEXT, Type::UUID, Type::TEXT],
);
const LINE: Sql = Sql::new(
    "select n.tenant_id, t.state, n.account_sid from platform.phone_numbers n
       join platform.tenants t on t.id = n.tenant_id where n.number = $1",
    &[Type::TEXT],
);
const ADD_KEY: Sql = Sql::new(
    "insert into platform.api_keys (id, tenant_id, name, prefix, secret_sha256) values ($1, $2, $3, $4, $5)",
    &[Type::UUID, Type::UUID, Type::TEXT, Type::TEXT, Type::BYTEA],
);
const KEY_OWNER: Sql = Sql::new(
    "select k.id, k.tenant_id from platform.api_keys k join platform.tenants t on t.id = k.tenant_id
      where k.secret_sha256 = $1 and k.revoked_at is null and t.state = 'active'
        and (t.slug = $2 or exists (select from platform.domains d
                                     where d.tenant_id = t.id and d.host = $3 and d.verified_at is not null))",
    &[Type::BYTEA, Type::TEXT, Type::TEXT],
);
const PUT_CREDENTIAL: Sql = Sql::new(
    "insert into platform.credentials (id, tenant_id, provider, account, sealed) values ($1, $2, 'twilio', $3, $4)
     on conflict (provider, account) do update set sealed = excluded.sealed
         where credentials.tenant_id = excluded.tenant_id
     returning id",
    &[Type::UUID, Type::UUID, Type::TEXT, Type::BYTEA],
);
const CREDENTIAL: Sql = Sql::new(
    "select tenant_id, sealed from platform.credentials where provider = 'twilio' and account = $1",
    &[Type::TEXT],
);
const AUDIT: Sql = Sql::new(
    "insert into platform.audit (id, tenant_id, actor, action, subject, after) values ($1, $2, $3, $4, $5, $6)",
    &[Type::UUID, Type::UUID, Type::TEXT, Type::TEXT, Type::TEXT, Type::JSONB],
);
const NUMBERS: Sql =
    Sql::new("select number from platform.phone_numbers where tenant_id = $1 order by number", &[Type::UUID]);
const OWN: Sql = Sql::new(
    "select id, slug, name, state, template_version_id, schema_version from platform.tenants where id = $1",
    &[Type::UUID],
);
const AGENT: Sql = Sql::new(
    "select agent_name, voice, language, new_caller_greeting, returning_caller_greeting, sliders, time_zone, vad,
            transfer_rules, revision
       from {t}.agent_settings",
    &[],
);
const PUT_AGENT: Sql = Sql::new(
    "insert into {t}.agent_settings as a (agent_name, voice, language, new_caller_greeting, returning_caller_greeting,
            sliders, time_zone, vad, transfer_rules)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
     on conflict (singleton) do update set agent_name = excluded.agent_name, voice = excluded.voice,
            language = excluded.language, new_caller_greeting = excluded.new_caller_greeting,
            returning_caller_greeting = excluded.returning_caller_greeting, sliders = excluded.sliders,
            time_zone = excluded.time_zone, vad = excluded.vad, transfer_rules = excluded.transfer_rules,
            revision = a.revision + 1, updated_at = now()
     returning revision",
    &[
        Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::JSONB, Type::TEXT, Type::JSONB, Type::JSONB,
    ],
);

/// A tenant's row as it stands.
pub(super) struct TenantRow {
    pub(super) id: Uuid,
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) template_version: Uuid,
    pub(super) schema_version: i32,
}

fn tenant(row: &Row) -> TenantRow {
    TenantRow {
        id: row.get(0),
        slug: row.get(1),
        name: row.get(2),
        state: row.get(3),
        template_version: row.get(4),
        schema_version: row.get(5),
    }
}

/// True if the slug was free.
pub(super) async fn claim_slug(tx: &mut PlatformTx, row: &TenantRow) -> Result<bool, Fault> {
    Ok(tx.run(&CLAIM_SLUG, &[&row.id, &row.slug, &row.name, &row.template_version]).await? == 1)
}

pub(super) async fn by_slug(tx: &mut PlatformTx, slug: &str) -> Result<Option<TenantRow>, Fault> {
    Ok(tx.row(&BY_SLUG, &[&slug]).await?.as_ref().map(tenant))
}

pub(super) async fn by_domain(tx: &mut PlatformTx, host: &str) -> Result<Option<TenantRow>, Fault> {
    Ok(tx.row(&BY_HOST, &[&host]).await?.as_ref().map(tenant))
}

pub(super) async fn all(tx: &mut PlatformTx) -> Result<Vec<TenantRow>, Fault> {
    Ok(tx.rows(&ALL, &[]).await?.iter().map(tenant).collect())
}

/// True if the tenant was in state `from`.
pub(super) async fn move_state(
    tx: &mut PlatformTx,
    tenant: Uuid,
    (from, to): (&str, &str),
    schema_version: i32,
) -> Result<bool, Fault> {
    Ok(tx.run(&MOVE_STATE, &[&tenant, &to, &from, &schema_version]).await? == 1)
}

/// False if the number belongs to another tenant.
pub(super) async fn assign_number(
    tx: &mut PlatformTx,
    tenant: Uuid,
    number: &str,
    account_sid: Option<&str>,
) -> Result<bool, Fault> {
    Ok(tx.row(&ASSIGN_NUMBER, &[&number, &tenant, &account_sid]).await?.is_some())
}

/// Tenant, its state, and the account that owns the number.
pub(super) async fn line(
    tx: &mut PlatformTx,
    number: &str,
) -> Result<Option<(Uuid, String, Option<String>)>, Fault> {
    Ok(tx.row(&LINE, &[&number]).await?.map(|row| (row.get(0), row.get(1), row.get(2))))
}

pub(super) async fn add_key(
    tx: &mut PlatformTx,
    tenant: Uuid,
    (name, prefix): (&str, &str),
    digest: &[u8],
) -> Result<(), Fault> {
    let id = tx.new_id();
    tx.run(&ADD_KEY, &[&id, &tenant, &name, &prefix, &digest]).await?;
    Ok(())
}

/// Key and tenant, if the key is good and belongs to the active tenant of that host.
pub(super) async fn key_owner(
    tx: &mut PlatformTx,
    digest: &[u8],
    (slug, host): (&str, &str),
) -> Result<Option<(Uuid, Uuid)>, Fault> {
    Ok(tx.row(&KEY_OWNER, &[&digest, &slug, &host]).await?.map(|row| (row.get(0), row.get(1))))
}

/// False if the account belongs to another tenant.
pub(super) async fn put_credential(
    tx: &mut PlatformTx,
    tenant: Uuid,
    account: &str,
    sealed: &[u8],
) -> Result<bool, Fault> {
    let id = tx.new_id();
    Ok(tx.row(&PUT_CREDENTIAL, &[&id, &tenant, &account, &sealed]).await?.is_some())
}

pub(super) async fn credential(tx: &mut PlatformTx, account: &str) -> Result<Option<(Uuid, Vec<u8>)>, Fault> {
    Ok(tx.row(&CREDENTIAL, &[&account]).await?.map(|row| (row.get(0), row.get(1))))
}

pub(super) async fn audit(
    tx: &mut PlatformTx,
    tenant: Uuid,
    (actor, action, subject): (&str, &str, &str),
    after: &Value,
) -> Result<(), Fault> {
    let id = tx.new_id();
    tx.run(&AUDIT, &[&id, &tenant, &actor, &action, &subject, after]).await?;
    Ok(())
}

pub(super) async fn numbers(tx: &mut TenantTx<'_>) -> Result<Vec<String>, Fault> {
    let tenant = tx.tenant().uuid();
    Ok(tx.rows(&NUMBERS, &[&tenant]).await?.iter().map(|row| row.get(0)).collect())
}

pub(super) async fn own(tx: &mut TenantTx<'_>) -> Result<Option<TenantRow>, Fault> {
    let id = tx.tenant().uuid();
    Ok(tx.row(&OWN, &[&id]).await?.as_ref().map(tenant))
}

/// Sliders, VAD and transfer rules as they are stored, beside the plain columns.
pub(super) async fn agent(tx: &mut TenantTx<'_>) -> Result<Option<Agent>, Fault> {
    let Some(row) = tx.row(&AGENT, &[]).await? else { return Ok(None) };
    Agent::from_columns(&row).map(Some)
}

pub(super) async fn put_agent(tx: &mut TenantTx<'_>, agent: &Agent) -> Result<i32, Fault> {
    let sliders = agent.sliders.to_json();
    let (vad, rules) = (agent.vad.to_json(), agent.transfer_rules_json());
    let row = tx
        .row(
            &PUT_AGENT,
            &[
                &agent.name,
                &agent.voice,
                &agent.language,
                &agent.new_caller_greeting,
                &agent.returning_caller_greeting,
                &sliders,
                &agent.time_zone.name(),
                &vad,
                &rules,
            ],
        )
        .await?;
    row.map(|row| row.get(0)).ok_or_else(|| Fault::new("save the agent's settings"))
}
