//! What is kept of a call while Postgres is gone: it is written when Postgres returns, or reported as lost. Everything runs
//! on the test's own thread, whose log and metrics nobody else writes to.

use super::stage::{CALLER, Carrier, Stage};
use crate::wire::Carries;
use crate::witness::Witness;
use neurosphere::access::Role;
use neurosphere::calls::{self, CallState, Speaker, Stretch};
use neurosphere::db::page::Page;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How many records the metrics call lost.
fn lost_by_the_metrics(witness: &Witness) -> u64 {
    let rendered = witness.metrics.render();
    let found = rendered.lines().find_map(|line| line.strip_prefix("neurosphere_call_records_lost_total "));
    found.map_or(0, |count| count.parse().unwrap())
}

/// How many the log does, once it says so.
async fn lost_by_the_log(witness: &Witness) -> u64 {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let lines = witness.lines.that_say("records of a call are lost");
        if let Some(line) = lines.first() {
            assert_eq!(lines.len(), 1, "said once: {lines:?}");
            assert!(line.contains("ERROR") && line.contains("call=call_"), "{line}");
            return line.split("records=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        }
        assert!(Instant::now() < until, "nothing is reported as lost");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A call whose greeting is heard while Postgres fails, up to the caller's hanging up.
async fn call_without_postgres(stage: &Stage, failing: Carries) -> Carrier {
    let mut carrier = stage.call().await;
    stage.postgres.set(failing);
    carrier.until("media").await;
    let heard_out = timeout(Duration::from_secs(2), carrier.until("never"));
    assert!(heard_out.await.is_err(), "the call goes on");
    carrier.send(json!({"event": "stop", "streamSid": "MZ1", "stop": {}})).await;
    carrier.until_closed().await;
    carrier
}

#[test]
fn what_is_said_while_postgres_is_gone_is_written_when_it_returns() {
    Witness::watch(async |witness| {
        for failing in [Carries::Nothing, Carries::Silence] {
            let stage =
                Stage::limited(|limits| limits.records.attempt_max = Duration::from_millis(500)).await;
            let carrier = call_without_postgres(&stage, failing).await;
            stage.postgres.mend();
            let (reason, turns) = stage.ended(&carrier.sid).await;
            assert_eq!(reason, "caller_hung_up");
            assert_eq!(turns.len(), 1, "{failing:?}: {turns:?}");
            assert_eq!(turns[0].speaker, Speaker::Agent);
            assert!(turns[0].text.contains("This is Barbara with Peterson Family Insurance."), "{turns:?}");
        }
        assert_eq!(lost_by_the_metrics(witness), 0);
        assert!(!witness.lines.that_say("records of a call wait for Postgres").is_empty());
        assert!(witness.lines.that_say("lost").is_empty());
    });
}

/// What is in Postgres of the tenant's only call.
struct Kept {
    state: CallState,
    turns: usize,
    events: Vec<calls::Event>,
}

async fn kept(stage: &Stage) -> Kept {
    let mut session = stage.world.app.db.tenant(&stage.tenant.scope(Role::Owner)).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let calls = calls::list(&mut tx, Page { first: 2, after: None }).await.unwrap();
    let [call] = &calls[..] else { panic!("{calls:?}") };
    Kept {
        state: call.state,
        turns: calls::turns(&mut tx, Stretch { call: call.id, after: 0, limit: 100 }).await.unwrap().len(),
        events: calls::events(&mut tx, Stretch { call: call.id, after: 0, limit: 100 }).await.unwrap(),
    }
}

/// What ends the patience: the time after the call, or a process that stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Time,
    Stop,
}

fn check_lost(failing: Carries, over: Over) {
    Witness::watch(async |witness| {
        let stage = Stage::limited(|limits| {
            let (soon, never) = (Duration::from_secs(1), Duration::from_hours(1));
            limits.records.after_call_max = if over == Over::Time { soon } else { never };
            limits.records.after_stop_max = soon;
            limits.drain_max = soon;
        })
        .await;
        let carrier = call_without_postgres(&stage, failing).await;
        if over == Over::Stop {
            timeout(Duration::from_secs(15), stage.running.app.voice.drain()).await.expect("a drain");
        }
        let lost = lost_by_the_log(witness).await;
        assert!(0 < lost, "the greeting at least");
        assert_eq!(lost_by_the_metrics(witness), lost, "log and metrics agree");
        let end = witness.lines.that_say("the end of a call could not be written");
        assert!(end.len() == 1 && end[0].contains("reason=\"caller_hung_up\""), "{end:?}");
        for private in [CALLER, &carrier.sid, "Barbara"] {
            assert!(witness.lines.that_say(private).is_empty(), "{private} in the log");
        }
        let kept = kept(&stage).await;
        assert_eq!((kept.state, kept.turns), (CallState::InProgress, 0), "nothing is half written");
        assert!(kept.events.iter().all(|event| event.kind != "call.ended"), "{:?}", kept.events);
    });
}

#[test]
fn what_could_not_be_written_in_time_is_reported_as_lost() {
    check_lost(Carries::Nothing, Over::Time);
    check_lost(Carries::Silence, Over::Time);
}

#[test]
fn what_could_not_be_written_before_a_stop_is_reported_as_lost() {
    check_lost(Carries::Nothing, Over::Stop);
    check_lost(Carries::Silence, Over::Stop);
}

#[test]
fn what_did_not_fit_is_reported_in_the_calls_own_log_too() {
    Witness::watch(async |witness| {
        let stage = Stage::limited(|limits| limits.records.waiting_max = 4).await;
        let carrier = call_without_postgres(&stage, Carries::Nothing).await;
        stage.postgres.mend();
        assert_eq!(stage.ended(&carrier.sid).await.0, "caller_hung_up");
        let lost = lost_by_the_log(witness).await;
        assert_eq!(lost_by_the_metrics(witness), lost);
        let kept = kept(&stage).await;
        let confession = kept.events.last().unwrap();
        assert_eq!((confession.kind.as_str(), &confession.data), ("records.lost", &json!({"records": lost})));
    });
}
