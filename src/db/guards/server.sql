-- What the catalog says of this database and of the roles that are not one tenant's: facts as in facts.sql. A Postgres
-- server may hold several databases of ours, whose tenants' roles all belong to the same groups: what a single tenant's
-- role may do is asked in facts.sql, of the tenants of this database only.
with ours as materialized (
    select oid, rolname, rolcanlogin, rolinherit, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
      from pg_roles
     where rolname in ('neurosphere_platform', 'neurosphere_tenants') or rolname ~ '^neurosphere_app(_[0-9]+)?$'
), here as (
    select oid, datname, datdba, datacl from pg_database where datname = current_database()
), visible as (
    select 'schema ' || quote_ident(n.nspname) as object, a.grantee, a.privilege_type, a.is_grantable
      from pg_namespace n cross join aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
     where n.nspname !~ '^(pg_.*|information_schema|platform|tenant_[0-9a-f]{32})$' and a.grantee <> n.nspowner
    union all
    select 'database ' || quote_ident(d.datname), a.grantee, a.privilege_type, a.is_grantable
      from here d cross join aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
     where a.privilege_type <> 'CONNECT' and a.grantee <> d.datdba
)
select 'role' as kind, rolname::text as object, 'attributes' as part,
       concat_ws(' ', case when rolcanlogin then 'login' else 'nologin' end, case when rolinherit then 'inherit' else 'noinherit' end,
                 case when rolsuper then 'superuser' end, case when rolcreaterole then 'createrole' end,
                 case when rolcreatedb then 'createdb' end, case when rolreplication then 'replication' end,
                 case when rolbypassrls then 'bypassrls' end) as value
  from ours
union all
-- The owner may become the platform, and administers every role that it made; it inherits nothing.
select 'member', g.rolname, a.rolname,
       string_agg(concat_ws(' ', case when m.inherit_option then 'inherit' end, case when m.set_option then 'set' end,
                            case when m.admin_option then 'admin' end), '; ' order by m.oid)
  from pg_auth_members m join pg_roles g on g.oid = m.roleid join pg_roles a on a.oid = m.member
 where (m.roleid in (select oid from ours) or m.member in (select oid from ours))
   and g.rolname !~ '^tenant_[0-9a-f]{32}$' and a.rolname !~ '^tenant_[0-9a-f]{32}$'
   and not (a.rolname = session_user and not m.inherit_option and (not m.set_option or g.rolname = 'neurosphere_platform'))
 group by g.rolname, a.rolname
union all
select 'setting', o.rolname, coalesce(h.datname, ''), array_to_string(s.setconfig, ', ')
  from pg_db_role_setting s join ours o on o.oid = s.setrole left join here h on h.oid = s.setdatabase
 where s.setdatabase = 0 or h.oid is not null
union all
select 'setting', 'database ' || quote_ident(h.datname), split_part(one, '=', 1), one
  from pg_db_role_setting s join here h on h.oid = s.setdatabase cross join unnest(s.setconfig) one
 where s.setrole = 0 and split_part(one, '=', 1) in ('role', 'row_security', 'session_replication_role')
union all
select 'grant', v.object, v.privilege_type || ' to ' || coalesce(r.rolname, 'PUBLIC'),
       case when bool_or(v.is_grantable) then 'with grant option' else '' end
  from visible v left join pg_roles r on r.oid = v.grantee
 where v.grantee = 0 or r.oid in (select oid from ours)
 group by v.object, v.privilege_type, r.rolname
union all
select 'holding', o.rolname, i.type || ' ' || i.identity, case d.deptype when 'o' then 'owned' else 'granted' end
  from ours o
  join pg_shdepend d on d.refclassid = 'pg_authid'::regclass and d.refobjid = o.oid and d.deptype in ('o', 'a')
  left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
  left join pg_proc f on d.classid = 'pg_proc'::regclass and f.oid = d.objid
  left join pg_namespace n on n.oid = coalesce(c.relnamespace, f.pronamespace)
 cross join pg_identify_object(d.classid, d.objid, 0) i
 where d.dbid in (0, (select oid from here)) and (d.classid <> 'pg_namespace'::regclass or d.deptype = 'o')
   and d.classid <> 'pg_default_acl'::regclass and coalesce(n.nspname !~ '^(platform|tenant_[0-9a-f]{32})$', true)
union all
-- A bare name resolves to what is in the schema of extensions, so nothing but extensions may be in it.
select 'object', i.identity, i.type, ''
  from pg_namespace n join pg_depend d on d.refclassid = 'pg_namespace'::regclass and d.refobjid = n.oid
 cross join pg_identify_object(d.classid, d.objid, 0) i
 where n.nspname = 'extensions' and d.classid <> 'pg_extension'::regclass
   and not exists (select from pg_depend e where e.classid = d.classid and e.objid = d.objid and e.deptype = 'e')
union all
select 'object', i.identity, i.type, ''
  from pg_default_acl a left join pg_namespace n on n.oid = a.defaclnamespace
 cross join pg_identify_object('pg_default_acl'::regclass, a.oid, 0) i
 where coalesce(n.nspname !~ '^(platform|tenant_[0-9a-f]{32})$', true)
union all
select 'publication', 'every table', quote_ident(pubname), '' from pg_publication where puballtables
