-- Everything that the gateway needs to answer a call, in one statement: the call becomes in progress (a second stream
-- for it finds nothing), and with it come the agent's settings, the business, and what is known of the caller.
-- $1 call, $2 now. The first ten columns are the agent's, in the order that tenants::agent reads them.
with call as (
    update {t}.calls set state = 'in_progress', connected_at = $2 where id = $1 and state = 'ringing'
    returning id, call_sid, account_sid, caller_id
)
select a.agent_name, a.voice, a.language, a.new_caller_greeting, a.returning_caller_greeting, a.sliders, a.time_zone,
       a.vad, a.transfer_rules, a.revision,
       business.name, call.call_sid, call.account_sid, c.id, c.name, coalesce(c.calls_count, 0),
       coalesce(p.quick_bio, ''), p.data,
       array(select m.text from {t}.memories m where m.caller_id = c.id and m.superseded_by is null
              order by m.importance desc, m.id desc limit 20),
       array(select s.summary from {t}.call_summaries s join {t}.calls k on k.id = s.call_id
              where k.caller_id = c.id order by k.id desc limit 3),
       c.last_call_at
  from call
  cross join {t}.agent_settings a
  join platform.tenants business on business.id = a.tenant_id
  left join {t}.callers c on c.id = call.caller_id
  left join {t}.caller_profiles p on p.caller_id = c.id
