//! With a real carrier nobody can place the calls but people: says what to dial, and prints what is said as it is
//! written.

use neurosphere::access::{Actor, Role, TenantScope};
use neurosphere::app::Running;
use neurosphere::calls::{self, Speaker};
use neurosphere::db::listen::Heard;
use neurosphere::ids::{CallId, TenantId};
use std::collections::HashMap;

use super::Business;
use super::look::Summary;
use crate::commands::refused;

const CALLS: usize = 3;
const TURNS_MAX: u16 = 100;

/// Waits for three calls, or with `once` unset for none: they are printed whenever they come.
pub(super) async fn calls(
    running: &Running,
    businesses: &[Business; 2],
    once: bool,
) -> Result<Summary, String> {
    let public = &running.app.config.http.public_url;
    println!(
        "\nset the voice webhook of both numbers to {public}twilio/voice and the status callback to {public}twilio/status"
    );
    println!(
        "then call {} twice, and {} in between",
        businesses[0].number.reveal(),
        businesses[1].number.reveal()
    );
    let mut heard = running.app.hub.subscribe();
    let mut summary = Summary::default();
    let mut seen: HashMap<CallId, i32> = HashMap::new();
    let mut ended = 0;
    while ended < CALLS {
        let notice = tokio::select! {
            notice = heard.recv() => notice,
            stopped = tokio::signal::ctrl_c(), if !once => {
                return stopped.map(|()| summary).map_err(|error| error.to_string());
            }
        };
        let Ok(Heard::Notice { channel, payload }) = notice else { continue };
        let ids = payload.split_once(' ').filter(|_| channel == "calls");
        let Some((tenant, call)) =
            ids.and_then(|(t, c)| Some((t.parse::<TenantId>().ok()?, c.parse::<CallId>().ok()?)))
        else {
            continue;
        };
        if print_news(running, tenant, call, seen.entry(call).or_default()).await? {
            ended += 1;
            summary.calls += 1;
        }
    }
    Ok(summary)
}

/// Prints the turns that were written since; true when the call was just summed up.
async fn print_news(
    running: &Running,
    tenant: TenantId,
    call: CallId,
    after: &mut i32,
) -> Result<bool, String> {
    let scope = TenantScope::mint(tenant, Actor::CommandLine, Role::Owner);
    let mut session = running.app.db.tenant(&scope).await.map_err(|fault| fault.chain())?;
    let mut tx = session.begin().await.map_err(|fault| fault.chain())?;
    for turn in calls::turns(&mut tx, call, *after, TURNS_MAX).await.map_err(refused)? {
        let who = match turn.speaker {
            Speaker::Caller => "Caller",
            Speaker::Agent => "Agent",
            Speaker::Keypad => "Keypad",
            Speaker::Tool => "Tool",
        };
        println!("   {:>6} ms  {who:<8} {}", turn.started_ms, turn.text);
        *after = turn.sequence;
    }
    let summaries = calls::summaries(&mut tx, &[call]).await.map_err(refused)?;
    tx.commit().await.map_err(|fault| fault.chain())?;
    for summary in &summaries {
        println!("   after the call: {} [{}]", summary.text, summary.source.name());
    }
    Ok(!summaries.is_empty())
}
