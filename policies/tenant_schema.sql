-- One tenant's schema, empty, before its migrations run. {t} names schema and role.

create schema {t};
revoke all on schema {t} from public;
grant usage on schema {t} to {t};
