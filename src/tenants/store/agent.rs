//! How a tenant's agent speaks: one row in its own schema.

use crate::access::Action;
use crate::db::tx::{Sql, TenantSession, TenantTx};
use crate::db::{Param, Type};
use crate::error::{Error, Fault};
use crate::tenants::agent::Agent;

const AGENT: Sql = Sql::new(
    "select agent_name, voice, language, new_caller_greeting, returning_caller_greeting, sliders, time_zone, vad,
            transfer_rules, revision, busy_message
       from {t}.agent_settings",
    &[],
)
.before(
    4,
    "select agent_name, voice, language, new_caller_greeting, returning_caller_greeting, sliders, time_zone, vad,
            transfer_rules, revision, null::text
       from {t}.agent_settings",
);
const PUT_AGENT: Sql = Sql::new(
    "insert into {t}.agent_settings as a (agent_name, voice, language, new_caller_greeting, returning_caller_greeting,
            sliders, time_zone, vad, transfer_rules, busy_message)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     on conflict (singleton) do update set agent_name = excluded.agent_name, voice = excluded.voice,
            language = excluded.language, new_caller_greeting = excluded.new_caller_greeting,
            returning_caller_greeting = excluded.returning_caller_greeting, sliders = excluded.sliders,
            time_zone = excluded.time_zone, vad = excluded.vad, transfer_rules = excluded.transfer_rules,
            busy_message = excluded.busy_message, revision = a.revision + 1, updated_at = now()
     returning revision",
    &[
        Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::JSONB, Type::TEXT, Type::JSONB, Type::JSONB,
        Type::TEXT,
    ],
)
.before(
    4,
    // where nothing is said of the tenth parameter, Postgres must be told its type all the same
    "insert into {t}.agent_settings as a (agent_name, voice, language, new_caller_greeting, returning_caller_greeting,
            sliders, time_zone, vad, transfer_rules)
     select $1, $2, $3, $4, $5, $6, $7, $8, $9 where $10::text is null
     on conflict (singleton) do update set agent_name = excluded.agent_name, voice = excluded.voice,
            language = excluded.language, new_caller_greeting = excluded.new_caller_greeting,
            returning_caller_greeting = excluded.returning_caller_greeting, sliders = excluded.sliders,
            time_zone = excluded.time_zone, vad = excluded.vad, transfer_rules = excluded.transfer_rules,
            revision = a.revision + 1, updated_at = now()
     returning revision",
);
/// The columns that every version has had: a new agent has nothing to say in newer ones.
const ADD_AGENT: Sql = Sql::new(
    "insert into {t}.agent_settings (agent_name, voice, language, new_caller_greeting, returning_caller_greeting,
            sliders, time_zone, vad, transfer_rules)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (singleton) do nothing",
    &[
        Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::JSONB, Type::TEXT, Type::JSONB, Type::JSONB,
    ],
);

/// Sliders, VAD and transfer rules as they are stored, beside the plain columns.
pub(in crate::tenants) async fn agent(tx: &mut TenantTx<'_>) -> Result<Option<Agent>, Fault> {
    let Some(row) = tx.row(&AGENT, &[]).await? else { return Ok(None) };
    Ok(Some(Agent { busy_message: row.get(10), ..Agent::from_columns(&row)? }))
}

/// Writes a new tenant's agent, unless it is there already.
pub(in crate::tenants) async fn add_agent(session: &mut TenantSession, agent: &Agent) -> Result<(), Error> {
    let sliders = agent.sliders.to_json();
    let (vad, rules) = (agent.vad.to_json(), agent.transfer_rules_json());
    let columns: [Param<'_>; 9] = [
        &agent.name,
        &agent.voice,
        &agent.language,
        &agent.new_caller_greeting,
        &agent.returning_caller_greeting,
        &sliders,
        &agent.time_zone.name(),
        &vad,
        &rules,
    ];
    session.single(Action::AgentWrite, &ADD_AGENT, &columns).await.map(drop)
}

/// The new revision; none where the tenant's schema cannot hold all of it yet.
pub(in crate::tenants) async fn put_agent(
    tx: &mut TenantTx<'_>,
    agent: &Agent,
) -> Result<Option<i32>, Fault> {
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
                &agent.busy_message,
            ],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}
