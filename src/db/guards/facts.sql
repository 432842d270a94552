-- What the catalog says of some schemas and of the roles that have their names, one fact a row: its kind, the object, which
-- part of it, and the value. The schema's own name and the tenant's id are replaced, so that the facts of two schemas can
-- be compared. What is in a schema is found by what depends on it, since pg_class has no index by schema: the cost grows
-- with the schemas asked for, not with those there are.
--   $1  schemas;  $2  the tenants' ids, empty for a schema of no tenant;  $3  the login role of each
-- Every row carries its spot: the schema, how its name is written, what stands for that, and the tenant's id. To look those
-- up at the end would compare every fact with every schema.
with place as materialized (
    select wanted.name, wanted.login, n.oid as schema, n.nspowner, n.nspacl, r.oid as role,
           array[wanted.name, case wanted.tenant when '' then wanted.name || '.' else wanted.name end,
                 case wanted.tenant when '' then '{t}.' else '{t}' end, wanted.tenant] as spot
      from unnest($1::text[], $2::text[], $3::text[]) as wanted(name, tenant, login)
      left join pg_namespace n on n.nspname = wanted.name
      left join pg_roles r on r.rolname = wanted.name and wanted.tenant <> ''
), inside as materialized (
    select p.spot, p.schema, d.classid, d.objid
      from place p join pg_depend d on d.refclassid = 'pg_namespace'::regclass and d.refobjid = p.schema
), relation as materialized (
    select i.spot, i.schema, c.oid, quote_ident(c.relname) as name, c.relkind, c.relowner, c.relacl, c.reloptions,
           c.relpersistence, c.relrowsecurity, c.relforcerowsecurity
      from inside i join pg_class c on c.oid = i.objid where i.classid = 'pg_class'::regclass
), routine as materialized (
    select i.spot, f.proowner, f.proacl, f.prosecdef, f.proconfig, replace(f.prosrc, i.spot[2], i.spot[3]) as body,
           quote_ident(f.proname) || '(' || pg_get_function_identity_arguments(f.oid) || ')' as name
      from inside i join pg_proc f on f.oid = i.objid where i.classid = 'pg_proc'::regclass
), granted as (
    select p.spot, '' as object, p.nspowner as owner, a.grantee, a.privilege_type, a.is_grantable from place p
     cross join aclexplode(coalesce(p.nspacl, acldefault('n', p.nspowner))) a
    union all
    select r.spot, r.name, r.relowner, a.grantee, a.privilege_type, a.is_grantable from relation r
     cross join aclexplode(coalesce(r.relacl, acldefault(case r.relkind when 'S' then 's' else 'r' end::"char", r.relowner))) a
    union all
    select r.spot, r.name || '.' || quote_ident(c.attname), r.relowner, a.grantee, a.privilege_type, a.is_grantable
      from relation r join pg_attribute c on c.attrelid = r.oid and c.attacl is not null cross join aclexplode(c.attacl) a
    union all
    select f.spot, f.name, f.proowner, a.grantee, a.privilege_type, a.is_grantable from routine f
     cross join aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a
), membership as (
    select p.spot, p.login, true as is_its, m.oid, m.roleid, m.member, m.admin_option, m.inherit_option, m.set_option
      from place p join pg_auth_members m on m.roleid = p.role
    union all
    select p.spot, p.login, false, m.oid, m.roleid, m.member, m.admin_option, m.inherit_option, m.set_option
      from place p join pg_auth_members m on m.member = p.role
), held as (
    select p.spot, d.classid, d.objid, d.deptype
      from place p
      join pg_shdepend d on d.refclassid = 'pg_authid'::regclass and d.refobjid = p.role and d.deptype in ('o', 'a')
      left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
      left join pg_proc f on d.classid = 'pg_proc'::regclass and f.oid = d.objid
      left join pg_namespace n on n.oid = coalesce(c.relnamespace, f.pronamespace,
                                                   case d.classid when 'pg_namespace'::regclass then d.objid end)
     where d.dbid in (0, (select oid from pg_database where datname = current_database()))
       and d.classid <> 'pg_default_acl'::regclass and coalesce(n.nspname !~ '^(platform|tenant_[0-9a-f]{32})$', true)
), fact (spot, kind, object, part, value) as (
    select spot, 'schema', '', 'owner', pg_get_userbyid(nspowner)::text from place where schema is not null
    union all
    select spot, 'grant', object, privilege_type || ' to ' || case grantee when 0 then 'PUBLIC' else pg_get_userbyid(grantee) end,
           case when bool_or(is_grantable) then 'with grant option' else '' end
      from granted where grantee <> owner group by spot, object, privilege_type, grantee
    union all
    select spot, 'relation', name, 'kind', case relpersistence when 'p' then '' when 'u' then 'unlogged ' else 'temporary ' end
           || case relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view' when 'S' then 'sequence'
                           when 'm' then 'materialized view' when 'f' then 'foreign table' else relkind::text end
           || coalesce(' with (' || array_to_string(reloptions, ', ') || ')', '')
      from relation
    union all
    select spot, 'relation', name, 'owner', pg_get_userbyid(relowner) from relation
    union all
    select spot, 'relation', name, 'row security', case when relrowsecurity then 'enabled' else 'disabled' end
           || case when relforcerowsecurity then ', forced' else ', not forced' end
      from relation where relkind in ('r', 'p')
    union all
    select r.spot, 'column', r.name, quote_ident(c.attname), format_type(c.atttypid, c.atttypmod)
           || case when c.attcollation <> t.typcollation then ' collate ' || c.attcollation::regcollation else '' end
           || case when c.attnotnull then ' not null' else '' end
           || case when c.attidentity <> '' then ' identity' else '' end
           || case when d.adbin is null then '' when c.attgenerated <> '' then ' generated ' else ' default ' end
           || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
      from relation r join pg_attribute c on c.attrelid = r.oid and 0 < c.attnum and not c.attisdropped
      join pg_type t on t.oid = c.atttypid left join pg_attrdef d on d.adrelid = c.attrelid and d.adnum = c.attnum
     where r.relkind <> 'S'
    union all
    select r.spot, 'constraint', r.name, quote_ident(k.conname), pg_get_constraintdef(k.oid)
      from relation r join pg_constraint k on k.conrelid = r.oid
     where k.contype not in ('n', 't') or not k.convalidated
    union all
    select r.spot, 'index', r.name, quote_ident(c.relname), pg_get_indexdef(x.indexrelid)
           || case when x.indisvalid and x.indisready and x.indislive then '' else ' (invalid)' end
      from relation r join pg_index x on x.indrelid = r.oid join pg_class c on c.oid = x.indexrelid
    union all
    select r.spot, 'policy', r.name, quote_ident(p.polname), case when p.polpermissive then '' else 'as restrictive ' end
           || 'for ' || case p.polcmd when '*' then 'all' when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' else 'delete' end
           || ' to ' || (select string_agg(case o when 0 then 'public' else pg_get_userbyid(o) end, ', ' order by o) from unnest(p.polroles) o)
           || coalesce(' using (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
           || coalesce(' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
      from relation r join pg_policy p on p.polrelid = r.oid
    union all
    select r.spot, 'trigger', r.name, quote_ident(t.tgname),
           case when t.tgisinternal then 'of a foreign key' else pg_get_triggerdef(t.oid) end
           || case t.tgenabled when 'O' then '' when 'D' then ', disabled' else ', enabled ' || t.tgenabled::text end
      from relation r join pg_trigger t on t.tgrelid = r.oid where not t.tgisinternal or t.tgenabled <> 'O'
    union all
    select r.spot, 'rule', r.name, quote_ident(w.rulename), pg_get_ruledef(w.oid)
      from relation r join pg_rewrite w on w.ev_class = r.oid
    union all
    select spot, 'function', name, 'body', 'owned by ' || pg_get_userbyid(proowner)
           || case when prosecdef then ', security definer' else '' end
           || coalesce(', set ' || array_to_string(proconfig, ', '), '')
           || ', sha256 ' || encode(sha256(convert_to(body, 'UTF8')), 'hex')
      from routine
    union all
    select i.spot, 'object', o.identity, o.type, ''
      from inside i cross join pg_identify_object(i.classid, i.objid, 0) o
     where i.classid not in ('pg_class'::regclass, 'pg_proc'::regclass)
    union all
    select r.spot, 'inheritance', r.name, 'child of ' || h.inhparent::regclass, ''
      from relation r join pg_inherits h on h.inhrelid = r.oid
    union all
    select r.spot, 'inheritance', r.name, 'parent of ' || h.inhrelid::regclass, ''
      from relation r join pg_inherits h on h.inhparent = r.oid
    union all
    select r.spot, 'publication', r.name, quote_ident(b.pubname), ''
      from relation r join pg_publication_rel m on m.prrelid = r.oid join pg_publication b on b.oid = m.prpubid
    union all
    select r.spot, 'subscription', r.name, 'subscription', '' from relation r join pg_subscription_rel s on s.srrelid = r.oid
    union all
    select distinct r.spot, 'outsider', r.name, o.type || ' ' || o.identity, ''
      from relation r
      join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = r.oid and d.deptype = 'n'
      left join pg_rewrite w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
      left join pg_constraint k on d.classid = 'pg_constraint'::regclass and k.oid = d.objid
      left join pg_proc f on d.classid = 'pg_proc'::regclass and f.oid = d.objid
      left join pg_class c on c.oid = coalesce(w.ev_class, k.conrelid)
      join pg_namespace n on n.oid = coalesce(c.relnamespace, f.pronamespace)
     cross join pg_identify_object(case when w.oid is null then d.classid else 'pg_class'::regclass end, coalesce(w.ev_class, d.objid), 0) o
     where n.nspname !~ '^(platform|tenant_[0-9a-f]{32})$' and n.oid <> r.schema
    union all
    select p.spot, 'role', p.name, 'attributes', concat_ws(' ', case when r.rolcanlogin then 'login' else 'nologin' end,
           case when r.rolinherit then 'inherit' else 'noinherit' end, case when r.rolsuper then 'superuser' end,
           case when r.rolcreaterole then 'createrole' end, case when r.rolcreatedb then 'createdb' end,
           case when r.rolreplication then 'replication' end, case when r.rolbypassrls then 'bypassrls' end)
      from place p join pg_roles r on r.oid = p.role
    union all
    select m.spot, 'member', g.rolname, case when a.rolname = m.login and m.is_its then '{login}' else a.rolname end,
           string_agg(concat_ws(' ', case when m.inherit_option then 'inherit' end, case when m.set_option then 'set' end,
                                case when m.admin_option then 'admin' end), '; ' order by m.oid)
      from membership m join pg_roles a on a.oid = m.member join pg_roles g on g.oid = m.roleid
     -- A tenant's role that is a member of another tenant's is told with the other.
     where m.is_its or not exists (select from pg_namespace n where n.nspname = g.rolname)
     group by m.spot, m.login, m.is_its, a.rolname, g.rolname
    union all
    select p.spot, 'setting', p.name, coalesce(b.datname, ''), array_to_string(s.setconfig, ', ')
      from place p join pg_db_role_setting s on s.setrole = p.role left join pg_database b on b.oid = s.setdatabase
     where s.setdatabase = 0 or b.datname = current_database()
    union all
    select h.spot, 'holding', h.spot[1], o.type || ' ' || o.identity, case h.deptype when 'o' then 'owned' else 'granted' end
      from held h cross join pg_identify_object(h.classid, h.objid, 0) o
)
select f.spot[1] as place, f.kind, replace(replace(f.object, f.spot[2], f.spot[3]), f.spot[4], '{tenant}') as object,
       replace(replace(f.part, f.spot[2], f.spot[3]), f.spot[4], '{tenant}') as part,
       replace(replace(f.value, f.spot[2], f.spot[3]), f.spot[4], '{tenant}') as value
  from fact f
