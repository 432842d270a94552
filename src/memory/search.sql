-- What of a caller's memories fits a question best, for each of the callers: exact cosine distance where a vector of the
-- same model is there, full text in any case, each stretched to 0..1 over the caller's own memories, then weighed a little
-- by importance and age. $1 callers, $2 question, $3 its vector or null, $4 the vector's model, $5 how many, $6 now.
with asked as (
    select replace(plainto_tsquery('pg_catalog.english', $2)::text, '&', '|')::tsquery as words,
           $3::real[]::extensions.halfvec(384) as vector
)
select best.*, callers.place
  from unnest($1::uuid[]) with ordinality as callers(id, place)
 cross join lateral (
    with scored as (
        select m.id, m.kind, m.text, m.importance, m.source, m.call_id, m.created_at,
               case when m.embed_model = $4 then 1 - (m.embedding operator(extensions.<=>) asked.vector) end as near,
               ts_rank(m.search, asked.words)::double precision as worded
          from {t}.memories m cross join asked
         where m.caller_id = callers.id and m.superseded_by is null
    ), spans as (
        select min(near) as near_min, nullif(max(near) - min(near), 0) as near_span,
               nullif(max(worded), 0) as worded_max
          from scored
    )
    select id, kind, text, importance, source, call_id, created_at,
           (0.6 * coalesce((near - near_min) / near_span, 0) + 0.4 * coalesce(worded / worded_max, 0))
               * (0.85 + 0.05 * importance
                  + 0.1 * exp(-greatest(0, extract(epoch from $6::timestamptz - created_at)::double precision) / 15552000))
           as score
      from scored cross join spans
     order by score desc, id desc
     limit $5
 ) best
 order by callers.place, best.score desc, best.id desc
