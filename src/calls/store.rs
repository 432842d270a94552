//! The SQL of the calls slice; the statement that opens a call is in `context.sql`.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    Arrival, Call, CallState, CallerContext, Event, Known, NewSummary, Resolution, Sentiment, Speaker,
    Stretch, Summary, SummarySource, Turn,
};
use crate::access::Action;
use crate::db::page::{self, Page, PageOf};
use crate::db::tx::{Sql, TenantSession, TenantTx};
use crate::db::{Db, Row, Type};
use crate::error::{Error, Fault, OrFault as _};
use crate::ids::{self, CallId, CallerId};
use crate::tenancy::{ClusterIndex, Tenancy, tenancy_columns};
use crate::tenants::agent::Agent;

/// Calls of one tenant arrive one after the other from here on, so that their number is exact.
const LINES: Sql = Sql::new("select language, busy_message from {t}.agent_settings for update", &[])
    .before(4, "select language, null::text from {t}.agent_settings for update");
/// Open calls are looked for among the ids of the last hours. One that rang for two minutes without a stream counts no
/// more: nobody reported its end.
const ARRIVE: Sql = Sql::new(
    "insert into {t}.calls as k (id, call_sid, account_sid, caller_id, from_number, to_number, started_at)
     select $1, $2, $3, $4, $5, $6, $7
      where exists (select from {t}.calls where call_sid = $2)
         or (select count(*) from {t}.calls o
              where $9 < o.id and o.state <> 'ended'
                and (o.state <> 'ringing' or $7 - interval '2 minutes' < o.started_at)) < $8
     on conflict (call_sid) do update set call_sid = excluded.call_sid
     returning k.id, k.state",
    &[
        Type::UUID,
        Type::TEXT,
        Type::TEXT,
        Type::UUID,
        Type::TEXT,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::INT8,
        Type::UUID,
    ],
);
/// No call lasts longer; what seems to is a row that nobody closed.
const CALL_LENGTH_MAX: TimeDelta = TimeDelta::hours(4);
const ADD_TOKEN: Sql = Sql::new(
    "insert into platform.stream_tokens (token_sha256, tenant_id, call_id, account_sid, expires_at)
     values ($1, $2, $3, $4, $5)",
    &[Type::BYTEA, Type::UUID, Type::UUID, Type::TEXT, Type::TIMESTAMPTZ],
);
const REDEEM: Sql = Sql::new(
    concat!(
        "update platform.stream_tokens s set used_at = $2 from platform.tenancies y
          where s.token_sha256 = $1 and s.used_at is null and $2 < s.expires_at and y.id = s.tenant_id
            and y.state = 'active'
         returning s.call_id, ",
        tenancy_columns!()
    ),
    &[Type::BYTEA, Type::TIMESTAMPTZ],
);
const PEEK: Sql = Sql::new(
    "select account_sid from platform.stream_tokens
      where token_sha256 = $1 and used_at is null and $2 < expires_at",
    &[Type::BYTEA, Type::TIMESTAMPTZ],
);
const SWEEP_TOKENS: Sql = Sql::new(
    "delete from platform.stream_tokens where expires_at < $1 - interval '1 day'",
    &[Type::TIMESTAMPTZ],
);
const OPEN: Sql = Sql::new(include_str!("context.sql"), &[Type::UUID, Type::TIMESTAMPTZ]);
const ADD_TURNS: Sql = Sql::new(
    "with added as (
        insert into {t}.call_turns (call_id, sequence, speaker, text, started_ms, ended_ms, heard_ms, interrupted)
        select $1, * from unnest($2::int[], $3::text[], $4::text[], $5::int[], $6::int[], $7::int[], $8::bool[])
        on conflict (call_id, sequence) do nothing returning sequence)
     select pg_notify('calls', $9) from added limit 1",
    &[
        Type::UUID, Type::INT4_ARRAY, Type::TEXT_ARRAY, Type::TEXT_ARRAY, Type::INT4_ARRAY, Type::INT4_ARRAY,
        Type::INT4_ARRAY, Type::BOOL_ARRAY, Type::TEXT,
    ],
);
const ADD_EVENTS: Sql = Sql::new(
    "insert into {t}.call_events (call_id, sequence, at_ms, leg, kind, data)
     select $1, * from unnest($2::int[], $3::int[], $4::text[], $5::text[], $6::jsonb[])
     on conflict (call_id, sequence) do nothing",
    &[Type::UUID, Type::INT4_ARRAY, Type::INT4_ARRAY, Type::TEXT_ARRAY, Type::TEXT_ARRAY, Type::JSONB_ARRAY],
);
const END: Sql = Sql::new(
    "with ended as (
        update {t}.calls set state = 'ended', ended_at = $2, end_reason = $3,
               duration_s = greatest(0, extract(epoch from $2 - coalesce(connected_at, started_at)))::int
         where id = $1 and state <> 'ended' returning caller_id, started_at),
     counted as (
        update {t}.callers c set calls_count = c.calls_count + 1,
               first_call_at = least(c.first_call_at, ended.started_at),
               last_call_at = greatest(c.last_call_at, ended.started_at)
          from ended where c.id = ended.caller_id returning c.id)
     select pg_notify('calls', $4) from ended",
    &[Type::UUID, Type::TIMESTAMPTZ, Type::TEXT, Type::TEXT],
);
const BY_SID: Sql =
    Sql::new("select id, state, end_reason from {t}.calls where call_sid = $1", &[Type::TEXT]);
const FIND: Sql = Sql::new(
    "select id, caller_id, from_number, to_number, state, end_reason, started_at, connected_at, ended_at, duration_s
       from {t}.calls where id = any($1)",
    &[Type::UUID_ARRAY],
);
const LIST: Sql = Sql::new(
    "select id, caller_id, from_number, to_number, state, end_reason, started_at, connected_at, ended_at, duration_s
       from {t}.calls where id < $1 order by id desc limit $2",
    &[Type::UUID, Type::INT8],
);
const OF_CALLERS: Sql = Sql::new(
    "select k.id, k.caller_id, k.from_number, k.to_number, k.state, k.end_reason, k.started_at, k.connected_at,
            k.ended_at, k.duration_s, asked.place
       from unnest($1::uuid[], $2::uuid[], $3::bigint[]) with ordinality as asked(caller_id, before, count, place)
      cross join lateral (select * from {t}.calls x where x.caller_id = asked.caller_id and x.id < asked.before
                           order by x.id desc limit asked.count) k
      order by asked.place, k.id desc",
    &[Type::UUID_ARRAY, Type::UUID_ARRAY, Type::INT8_ARRAY],
);
const LAST_OF: Sql = Sql::new(
    "select k.id, k.caller_id, k.from_number, k.to_number, k.state, k.end_reason, k.started_at, k.connected_at,
            k.ended_at, k.duration_s
       from unnest($1::uuid[]) as asked(caller_id)
      cross join lateral (select * from {t}.calls x where x.caller_id = asked.caller_id order by x.id desc limit 1) k",
    &[Type::UUID_ARRAY],
);
const TURNS: Sql = Sql::new(
    "select u.sequence, u.speaker, u.text, u.started_ms, u.ended_ms, u.heard_ms, u.interrupted, asked.place
       from unnest($1::uuid[], $2::int[], $3::bigint[]) with ordinality as asked(call_id, after, count, place)
      cross join lateral (select * from {t}.call_turns x where x.call_id = asked.call_id and asked.after < x.sequence
                           order by x.sequence limit asked.count) u
      order by asked.place, u.sequence",
    &[Type::UUID_ARRAY, Type::INT4_ARRAY, Type::INT8_ARRAY],
);
const EVENTS: Sql = Sql::new(
    "select e.sequence, e.at_ms, e.leg, e.kind, e.data, asked.place
       from unnest($1::uuid[], $2::int[], $3::bigint[]) with ordinality as asked(call_id, after, count, place)
      cross join lateral (select * from {t}.call_events x where x.call_id = asked.call_id and asked.after < x.sequence
                           order by x.sequence limit asked.count) e
      order by asked.place, e.sequence",
    &[Type::UUID_ARRAY, Type::INT4_ARRAY, Type::INT8_ARRAY],
);
const SUMMARIES: Sql = Sql::new(
    "select call_id, summary, topics, sentiment, resolution, source, model, created_at from {t}.call_summaries
      where call_id = any($1)",
    &[Type::UUID_ARRAY],
);
const ADD_SUMMARY: Sql = Sql::new(
    "with added as (
        insert into {t}.call_summaries (call_id, summary, topics, sentiment, resolution, source, model)
        values ($1, $2, $3, $4, $5, $6, $7) on conflict (call_id) do nothing returning call_id)
     select pg_notify('calls', $8) from added",
    &[Type::UUID, Type::TEXT, Type::TEXT_ARRAY, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT],
);

/// What listeners on the channel `calls` are told: tenant and call.
pub(super) fn notice(tx: &TenantTx<'_>, call: CallId) -> String {
    format!("{} {call}", tx.tenant())
}

/// The agent's language, and what it says when all lines are taken, if anything; locks the lines.
pub(super) async fn lines(tx: &mut TenantTx<'_>) -> Result<Option<(String, Option<String>)>, Fault> {
    Ok(tx.row(&LINES, &[]).await?.map(|row| (row.get(0), row.get(1))))
}

impl Stretch {
    /// What a statement is asked with for many at once.
    fn columns(asked: &[Self]) -> (Vec<Uuid>, Vec<i32>, Vec<i64>) {
        let calls = asked.iter().map(|one| one.call.uuid()).collect();
        let after = asked.iter().map(|one| one.after).collect();
        (calls, after, asked.iter().map(|one| one.limit.into()).collect())
    }
}

/// Id and state of the call of this SID, new or there already; none when all lines are taken.
pub(super) async fn arrive(
    tx: &mut TenantTx<'_>,
    arrival: &Arrival,
    caller: Option<CallerId>,
) -> Result<Option<(CallId, CallState)>, Fault> {
    let (id, now) = (tx.new_id(), tx.now());
    let caller = caller.map(CallerId::uuid);
    let from = arrival.from.as_ref().map(crate::ids::PhoneNumber::reveal);
    let calls_max = i64::from(tx.scope().tenancy().limits.calls_max);
    let row = tx
        .row(
            &ARRIVE,
            &[
                &id,
                &arrival.call_sid,
                &arrival.account_sid,
                &caller,
                &from,
                &arrival.to.reveal(),
                &now,
                &calls_max,
                &ids::since(now - CALL_LENGTH_MAX),
            ],
        )
        .await?;
    row.map(|row| Ok((row.get::<_, Uuid>(0).into(), CallState::read(row.get(1))?))).transpose()
}

pub(super) async fn add_token(
    tx: &mut TenantTx<'_>,
    call: CallId,
    (digest, account_sid): (&[u8], &str),
    expires_at: DateTime<Utc>,
) -> Result<(), Fault> {
    let tenant = tx.tenant().uuid();
    tx.run(&ADD_TOKEN, &[&digest, &tenant, &call.uuid(), &account_sid, &expires_at]).await?;
    Ok(())
}

/// Tenant and call of a token that was good until now.
pub(super) async fn redeem(
    db: &Db,
    cluster: ClusterIndex,
    digest: &[u8],
) -> Result<Option<(Tenancy, Uuid)>, Fault> {
    let rows = db.lookup_at(cluster, &REDEEM, &[&digest, &db.clock().now()]).await?;
    rows.first().map(|row| Ok((db.tenancy(row, 1)?, row.get(0)))).transpose()
}

/// The account of a token that is good now, without using it.
pub(super) async fn peek(db: &Db, cluster: ClusterIndex, digest: &[u8]) -> Result<Option<String>, Fault> {
    let rows = db.lookup_at(cluster, &PEEK, &[&digest, &db.clock().now()]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// Deletes tokens that expired long ago.
pub(super) async fn sweep_tokens(db: &Db, cluster: ClusterIndex) -> Result<(), Fault> {
    db.lookup_at(cluster, &SWEEP_TOKENS, &[&db.clock().now()]).await.map(drop)
}

pub(super) async fn open(session: &mut TenantSession, call: CallId) -> Result<Option<CallerContext>, Error> {
    let now = session.now();
    let rows = session.single(Action::CallsHold, &OPEN, &[&call.uuid(), &now]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let known = row.get::<_, Option<Uuid>>(13).map(|id| Known {
        caller: id.into(),
        name: row.get(14),
        calls_count: row.get(15),
        quick_bio: row.get(16),
        profile: row.get::<_, Option<serde_json::Value>>(17).unwrap_or_default(),
        facts: row.get(18),
        summaries: row.get(19),
        last_call_at: row.get(20),
    });
    Ok(Some(CallerContext {
        agent: Agent::from_columns(row)?,
        business_name: row.get(10),
        call_sid: row.get(11),
        account_sid: row.get(12),
        known,
    }))
}

pub(super) async fn add_turns(tx: &mut TenantTx<'_>, call: CallId, turns: &[Turn]) -> Result<(), Fault> {
    let notice = notice(tx, call);
    let sequences: Vec<_> = turns.iter().map(|turn| turn.sequence).collect();
    let speakers: Vec<_> = turns.iter().map(|turn| turn.speaker.name()).collect();
    let texts: Vec<_> = turns.iter().map(|turn| turn.text.as_str()).collect();
    let started: Vec<_> = turns.iter().map(|turn| turn.started_ms).collect();
    let ended: Vec<_> = turns.iter().map(|turn| turn.ended_ms).collect();
    let heard: Vec<_> = turns.iter().map(|turn| turn.heard_ms).collect();
    let interrupted: Vec<_> = turns.iter().map(|turn| turn.interrupted).collect();
    tx.run(
        &ADD_TURNS,
        &[&call.uuid(), &sequences, &speakers, &texts, &started, &ended, &heard, &interrupted, &notice],
    )
    .await?;
    Ok(())
}

pub(super) async fn add_events(tx: &mut TenantTx<'_>, call: CallId, events: &[Event]) -> Result<(), Fault> {
    let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
    let times: Vec<_> = events.iter().map(|event| event.at_ms).collect();
    let legs: Vec<_> = events.iter().map(|event| event.leg.name()).collect();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    let data: Vec<_> = events.iter().map(|event| &event.data).collect();
    tx.run(&ADD_EVENTS, &[&call.uuid(), &sequences, &times, &legs, &kinds, &data]).await?;
    Ok(())
}

/// True if the call had not ended before.
pub(super) async fn end(tx: &mut TenantTx<'_>, call: CallId, reason: &str) -> Result<bool, Fault> {
    let (now, notice) = (tx.now(), notice(tx, call));
    Ok(tx.row(&END, &[&call.uuid(), &now, &reason, &notice]).await?.is_some())
}

/// Id, state and end reason of the call of this SID.
pub(super) async fn by_sid(
    tx: &mut TenantTx<'_>,
    call_sid: &str,
) -> Result<Option<(CallId, CallState, Option<String>)>, Fault> {
    let Some(row) = tx.row(&BY_SID, &[&call_sid]).await? else { return Ok(None) };
    Ok(Some((row.get::<_, Uuid>(0).into(), CallState::read(row.get(1))?, row.get(2))))
}

fn call(row: &Row) -> Result<Call, Fault> {
    let number = |text: Option<&str>| text.map(str::parse).transpose().or_fault("read a call's number");
    Ok(Call {
        id: row.get::<_, Uuid>(0).into(),
        caller: row.get::<_, Option<Uuid>>(1).map(Into::into),
        from: number(row.get(2))?,
        to: row.get::<_, &str>(3).parse().or_fault("read a call's number")?,
        state: CallState::read(row.get(4))?,
        end_reason: row.get(5),
        started_at: row.get(6),
        connected_at: row.get(7),
        ended_at: row.get(8),
        duration_s: row.get(9),
    })
}

pub(super) async fn find(tx: &mut TenantTx<'_>, ids: &[Uuid]) -> Result<Vec<Call>, Fault> {
    tx.rows(&FIND, &[&ids]).await?.iter().map(call).collect()
}

pub(super) async fn list(tx: &mut TenantTx<'_>, page: Page) -> Result<Vec<Call>, Fault> {
    tx.rows(&LIST, &[&page.before(), &page.limit()]).await?.iter().map(call).collect()
}

/// A page of each caller's calls.
pub(super) async fn of_callers(
    tx: &mut TenantTx<'_>,
    asked: &[PageOf<CallerId>],
) -> Result<Vec<Vec<Call>>, Fault> {
    let (callers, before, counts) = PageOf::columns(asked, CallerId::uuid);
    let rows = tx.rows(&OF_CALLERS, &[&callers, &before, &counts]).await?;
    page::lists(asked.len(), &rows, call)
}

pub(super) async fn last_of(tx: &mut TenantTx<'_>, callers: &[Uuid]) -> Result<Vec<Call>, Fault> {
    tx.rows(&LAST_OF, &[&callers]).await?.iter().map(call).collect()
}

/// A stretch of each call's turns.
pub(super) async fn turns(tx: &mut TenantTx<'_>, asked: &[Stretch]) -> Result<Vec<Vec<Turn>>, Fault> {
    let turn = |row: &Row| {
        Ok(Turn {
            sequence: row.get(0),
            speaker: Speaker::named(row.get(1)).ok_or_else(|| Fault::new("read a turn's speaker"))?,
            text: row.get(2),
            started_ms: row.get(3),
            ended_ms: row.get(4),
            heard_ms: row.get(5),
            interrupted: row.get(6),
        })
    };
    let (calls, after, counts) = Stretch::columns(asked);
    let rows = tx.rows(&TURNS, &[&calls, &after, &counts]).await?;
    page::lists(asked.len(), &rows, turn)
}

/// A stretch of each call's log.
pub(super) async fn events(tx: &mut TenantTx<'_>, asked: &[Stretch]) -> Result<Vec<Vec<Event>>, Fault> {
    let event = |row: &Row| {
        Ok(Event {
            sequence: row.get(0),
            at_ms: row.get(1),
            leg: super::Leg::named(row.get(2)).ok_or_else(|| Fault::new("read an event's leg"))?,
            kind: row.get(3),
            data: row.get(4),
        })
    };
    let (calls, after, counts) = Stretch::columns(asked);
    let rows = tx.rows(&EVENTS, &[&calls, &after, &counts]).await?;
    page::lists(asked.len(), &rows, event)
}

pub(super) async fn summaries(tx: &mut TenantTx<'_>, calls: &[Uuid]) -> Result<Vec<Summary>, Fault> {
    let summary = |row: &Row| {
        let unknown = || Fault::new("read a summary");
        Ok(Summary {
            call: row.get::<_, Uuid>(0).into(),
            text: row.get(1),
            topics: row.get(2),
            sentiment: Sentiment::named(row.get(3)).ok_or_else(unknown)?,
            resolution: Resolution::named(row.get(4)).ok_or_else(unknown)?,
            source: SummarySource::named(row.get(5)).ok_or_else(unknown)?,
            model: row.get(6),
            created_at: row.get(7),
        })
    };
    tx.rows(&SUMMARIES, &[&calls]).await?.iter().map(summary).collect()
}

/// A call is summarised once; a second summary changes nothing.
pub(super) async fn add_summary(tx: &mut TenantTx<'_>, call: CallId, new: &NewSummary) -> Result<(), Fault> {
    let notice = notice(tx, call);
    let (sentiment, resolution) = (new.sentiment.name(), new.resolution.name());
    let source = new.source.name();
    tx.run(
        &ADD_SUMMARY,
        &[&call.uuid(), &new.text, &new.topics, &sentiment, &resolution, &source, &new.model, &notice],
    )
    .await?;
    Ok(())
}
