//! The jobs after a call: closing one that nobody closed, and concluding it: summary, facts, profile, name. Both are
//! idempotent by call. And the sweeping of stream tokens that nobody can use any more.

use chrono::TimeDelta;
use serde_json::Value;

use super::outcome::{self, Answer, Outcome};
use super::{Call, CallState, Stretch, Turn, store};
use crate::access::{Action, TenantScope};
use crate::callers;
use crate::db::Db;
use crate::db::tx::TenantTx;
use crate::error::{Error, Fault};
use crate::ids::CallId;
use crate::jobs::{self, Attempt, Failed, Kind, enqueue};
use crate::memory::{self, NewMemory, Source};
use crate::providers::openai::text::{Question, TextModels};

/// Writes what came of the call that the key names.
pub const CONCLUDE: Kind = Kind { name: "calls.conclude", attempts_max: 6 };
/// Ends the call that the key names, if neither the gateway nor anybody else did.
pub const CLOSE: Kind = Kind { name: "calls.close", attempts_max: 12 };
/// Deletes stream tokens that expired long ago; the key is the day.
pub const SWEEP_TOKENS: Kind = Kind { name: "calls.sweep_tokens", attempts_max: 5 };

const TURNS_MAX: u16 = 5_000;

/// Runs [`CLOSE`].
pub async fn close(db: &Db, attempt: &Attempt) -> Result<(), Failed> {
    let call = call_of(&attempt.key)?;
    let mut session = db.tenant(&attempt.scope).await?;
    let mut tx = session.begin().await?;
    tx.permit(Action::CallsConclude)?;
    let found = store::find(&mut tx, &[call.uuid()]).await?.pop();
    let Some(found) = found else { return Ok(()) };
    let reason = match found.state {
        CallState::Ringing => "no_stream",
        CallState::InProgress => "gateway_lost",
        CallState::Ended => return Ok(()),
    };
    store::end(&mut tx, call, reason).await?;
    enqueue(&mut tx, &CONCLUDE, &attempt.key).await?;
    tx.commit().await?;
    Ok(())
}

/// Runs [`SWEEP_TOKENS`] and has it run again tomorrow.
pub async fn sweep_tokens(db: &Db) -> Result<(), Failed> {
    for (cluster, _) in db.clusters() {
        store::sweep_tokens(db, cluster).await?;
    }
    let mut tx = db.platform().await?;
    let tomorrow = tx.now() + TimeDelta::days(1);
    jobs::enqueue_daily(&mut tx, &SWEEP_TOKENS, tomorrow).await?;
    Ok(tx.commit().await?)
}

/// What a conclusion is made from.
struct Material {
    call: Call,
    turns: Vec<Turn>,
    profile_schema: Value,
    profile: Value,
}

/// Runs [`CONCLUDE`]. The summary is written last: while it is missing, the job has something to do.
pub async fn conclude(db: &Db, models: &TextModels, attempt: &Attempt) -> Result<(), Failed> {
    let scope = &attempt.scope;
    let call = call_of(&attempt.key)?;
    let Some(material) = gather(db, scope, call).await? else { return Ok(()) };
    let outcome = find_outcome(models, &material, attempt.last).await?;
    match save_profile(db, scope, &material.call, &outcome).await {
        Ok(()) => {}
        Err(later @ (Error::Fault(_) | Error::TimedOut(_) | Error::Busy { .. })) => return Err(later.into()),
        Err(
            refused @ (Error::Forbidden | Error::NotFound(_) | Error::Invalid(_) | Error::Conflict { .. }),
        ) => {
            tracing::warn!(%call, %refused, "the profile patch of a call was refused; its facts are kept");
        }
    }
    let mut session = db.tenant(scope).await?;
    let mut tx = session.begin().await?;
    save(&mut tx, &material.call, &outcome).await?;
    tx.commit().await?;
    Ok(())
}

/// `None` where there is nothing to do: an unknown call, or one that was concluded before.
async fn gather(db: &Db, scope: &TenantScope, call: CallId) -> Result<Option<Material>, Failed> {
    let mut session = db.tenant(scope).await?;
    let mut tx = session.begin().await?;
    tx.permit(Action::CallsConclude)?;
    let found = store::find(&mut tx, &[call.uuid()]).await?.pop();
    let Some(found) = found.filter(|found| found.state == CallState::Ended) else { return Ok(None) };
    if !store::summaries(&mut tx, &[call.uuid()]).await?.is_empty() {
        return Ok(None);
    }
    let all = Stretch { call, after: 0, limit: TURNS_MAX };
    let turns = store::turns(&mut tx, &[all]).await?.pop().unwrap_or_default();
    let profile = match found.caller {
        Some(caller) => callers::profiles(&mut tx, &[caller]).await?.pop(),
        None => None,
    };
    let template = callers::template(&mut tx, profile.as_ref()).await?;
    tx.commit().await?;
    Ok(Some(Material {
        call: found,
        turns,
        profile_schema: template.schema().clone(),
        profile: profile.map_or_else(|| Value::Object(serde_json::Map::new()), |profile| profile.data),
    }))
}

/// A passing trouble is tried again by the queue; a lasting one, or the last try, leaves the call to the rules, marked
/// as such.
async fn find_outcome(models: &TextModels, material: &Material, last: bool) -> Result<Outcome, Failed> {
    if !material.turns.iter().any(|turn| turn.speaker == super::Speaker::Caller) {
        return Ok(outcome::without_model(&material.turns));
    }
    let input = outcome::input(&material.turns, &material.profile_schema, &material.profile);
    let question = Question {
        instructions: outcome::INSTRUCTIONS,
        input: &input,
        schema_name: "call_outcome",
        schema: outcome::schema(),
    };
    match models.answer::<Answer>(question).await {
        Ok(answer) => Ok(outcome::read(answer, models.text_model())),
        Err(trouble) if trouble.passing && !last => Err(trouble.into()),
        Err(trouble) => {
            let call = material.call.id;
            tracing::warn!(%call, fault = trouble.fault.chain(), "no model for a call's summary: written by rules");
            Ok(outcome::without_model(&material.turns))
        }
    }
}

async fn save(tx: &mut TenantTx<'_>, call: &Call, outcome: &Outcome) -> Result<(), Error> {
    tx.permit(Action::CallsConclude)?;
    store::add_summary(tx, call.id, &outcome.summary).await?;
    let Some(caller) = call.caller else { return Ok(()) };
    for fact in &outcome.facts {
        let new = NewMemory {
            caller,
            call: Some(call.id),
            kind: fact.kind,
            text: fact.text.chars().take(memory::TEXT_CHARS_MAX).collect(),
            importance: fact.importance,
            source: Source::Extraction,
        };
        memory::remember(tx, new).await?;
    }
    if let Some(name) = &outcome.caller_name {
        callers::name(tx, caller, name).await?;
    }
    Ok(())
}

/// In a transaction of its own: a patch that the template refuses must not take the summary with it.
async fn save_profile(db: &Db, scope: &TenantScope, call: &Call, outcome: &Outcome) -> Result<(), Error> {
    let changes = outcome.profile_patch.as_object().is_some_and(|patch| !patch.is_empty());
    let (Some(caller), true) = (call.caller, changes) else { return Ok(()) };
    let mut session = db.tenant(scope).await?;
    let mut tx = session.begin().await?;
    callers::patch_profile(&mut tx, caller, &outcome.profile_patch, None).await?;
    tx.commit().await?;
    Ok(())
}

fn call_of(key: &str) -> Result<CallId, Failed> {
    key.parse().map_err(|error| Failed { fault: Fault::caused("read the job's key", error), for_good: true })
}
