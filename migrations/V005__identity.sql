-- People and how they come in. A person and its identities belong to no tenant, since one person may be in several; what a
-- tenant may know of a person is in the row of its own member. Secrets are kept as digests only.

-- An address is kept once somebody proved it to us, or to an issuer that we trust with it; who is known through a tenant's
-- own issuer alone has none. `second_factor_since` is set while the person has a passkey.
create table platform.people (
    id uuid not null,
    name text not null,
    email text,
    created_at timestamptz not null default now(),
    disabled_at timestamptz,
    second_factor_since timestamptz,
    constraint people_pk primary key (id),
    constraint people_email_unique unique (email),
    constraint people_name_form check (length(name) between 1 and 200),
    constraint people_email_form check (email = lower(email) and length(email) between 3 and 254)
);

-- Whom an issuer means by a subject. What a tenant's own issuer says counts in that tenant alone.
create table platform.identities (
    id uuid not null,
    iss text not null,
    sub text not null,
    tenant_id uuid,
    person_id uuid not null,
    email text,
    created_at timestamptz not null default now(),
    last_used_at timestamptz,
    constraint identities_pk primary key (id),
    constraint identities_once unique nulls not distinct (iss, sub, tenant_id),
    constraint identities_person_fk foreign key (person_id) references platform.people (id),
    constraint identities_tenant_fk foreign key (tenant_id) references platform.tenants (id),
    constraint identities_form check (length(iss) between 1 and 500 and length(sub) between 1 and 500)
);
create index identities_person on platform.identities (person_id);
create index identities_tenant on platform.identities (tenant_id);

-- A tenant's own names for sets of the scopes in policies/access.toml. One that was removed stays, for whoever had it.
create table platform.roles (
    id uuid not null,
    tenant_id uuid not null,
    name text not null,
    scopes text[] not null,
    created_at timestamptz not null default now(),
    removed_at timestamptz,
    asked_as bytea,
    asked_sha256 bytea,
    constraint roles_pk primary key (id),
    constraint roles_tenant_fk foreign key (tenant_id) references platform.tenants (id),
    constraint roles_own unique (tenant_id, id),
    constraint roles_name_form check (length(name) between 1 and 100),
    constraint roles_scopes_form check (0 < cardinality(scopes)),
    constraint roles_asked_form check ((asked_as is null) = (asked_sha256 is null))
);
create unique index roles_name on platform.roles (tenant_id, lower(name)) where removed_at is null;
create unique index roles_asked on platform.roles (tenant_id, asked_as);

-- Name and address are copies: a tenant sees its own members and nobody else.
create table platform.members (
    id uuid not null,
    tenant_id uuid not null,
    person_id uuid not null,
    name text not null,
    email text,
    role text not null,
    role_id uuid,
    created_at timestamptz not null default now(),
    removed_at timestamptz,
    constraint members_pk primary key (id),
    constraint members_tenant_fk foreign key (tenant_id) references platform.tenants (id),
    constraint members_person_fk foreign key (person_id) references platform.people (id),
    constraint members_role_fk foreign key (tenant_id, role_id) references platform.roles (tenant_id, id),
    constraint members_own unique (tenant_id, id),
    constraint members_role_known check (role in ('owner', 'admin', 'member', 'viewer', 'custom')),
    constraint members_role_form check ((role = 'custom') = (role_id is not null))
);
create unique index members_living on platform.members (tenant_id, person_id) where removed_at is null;
create index members_person on platform.members (person_id);
create index members_role on platform.members (tenant_id, role_id);

-- The token is made when the mail is sent, so that it never stands in the queue; sent again, the one before it is void.
create table platform.invitations (
    id uuid not null,
    tenant_id uuid not null,
    email text not null,
    role text not null,
    role_id uuid,
    invited_by uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    mails integer not null default 1,
    sent_at timestamptz,
    token_sha256 bytea,
    accepted_at timestamptz,
    revoked_at timestamptz,
    asked_as bytea,
    asked_sha256 bytea,
    constraint invitations_pk primary key (id),
    constraint invitations_tenant_fk foreign key (tenant_id) references platform.tenants (id),
    constraint invitations_own unique (tenant_id, id),
    constraint invitations_role_fk foreign key (tenant_id, role_id) references platform.roles (tenant_id, id),
    constraint invitations_member_fk foreign key (tenant_id, invited_by) references platform.members (tenant_id, id),
    constraint invitations_token_unique unique (token_sha256),
    constraint invitations_email_form check (email = lower(email) and length(email) between 3 and 254),
    constraint invitations_role_known check (role in ('owner', 'admin', 'member', 'viewer', 'custom')),
    constraint invitations_role_form check ((role = 'custom') = (role_id is not null)),
    constraint invitations_asked_form check ((asked_as is null) = (asked_sha256 is null))
);
create unique index invitations_open on platform.invitations (tenant_id, email)
    where accepted_at is null and revoked_at is null;
create unique index invitations_asked on platform.invitations (tenant_id, asked_as);
create index invitations_member on platform.invitations (tenant_id, invited_by);
create index invitations_role on platform.invitations (tenant_id, role_id);

create table platform.sessions (
    id uuid not null,
    tenant_id uuid not null,
    member_id uuid not null,
    secret_sha256 bytea not null,
    factors text[] not null,
    agent text not null,
    address text not null,
    created_at timestamptz not null default now(),
    seen_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    constraint sessions_pk primary key (id),
    constraint sessions_tenant_fk foreign key (tenant_id) references platform.tenants (id),
    constraint sessions_member_fk foreign key (tenant_id, member_id) references platform.members (tenant_id, id),
    constraint sessions_secret_unique unique (secret_sha256),
    constraint sessions_agent_form check (length(agent) <= 300)
);
create index sessions_member on platform.sessions (tenant_id, member_id, id);
create index sessions_expiry on platform.sessions (expires_at);

-- One attempt to sign in, from the tenant's host over the one host where people prove who they are and back. It is bound to
-- the browser on either host. What a provider's answer is checked against is kept as digests, but for the verifier, which
-- must be sent: it is sealed, and bound to its row.
create table platform.sign_ins (
    id uuid not null,
    tenant_id uuid not null,
    host text not null,
    return_path text not null,
    stage text not null default 'begun',
    browser_sha256 bytea not null,
    auth_browser_sha256 bytea,
    invitation_id uuid,
    email text,
    mail_sha256 bytea,
    mailed_at timestamptz,
    issuer text,
    state_sha256 bytea,
    nonce_sha256 bytea,
    verifier_sealed bytea,
    person_id uuid,
    method text,
    proved_email text,
    factors text[] not null default '{}',
    proved_at timestamptz,
    code_sha256 bytea,
    handed_at timestamptz,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz,
    constraint sign_ins_pk primary key (id),
    constraint sign_ins_tenant_fk foreign key (tenant_id) references platform.tenants (id),
    constraint sign_ins_person_fk foreign key (person_id) references platform.people (id),
    constraint sign_ins_invitation_fk foreign key (tenant_id, invitation_id)
        references platform.invitations (tenant_id, id),
    constraint sign_ins_mail_unique unique (mail_sha256),
    constraint sign_ins_state_unique unique (state_sha256),
    constraint sign_ins_code_unique unique (code_sha256),
    constraint sign_ins_stage_known check (stage in ('begun', 'passkey', 'accept', 'handed', 'done', 'failed')),
    constraint sign_ins_proof_form check ((person_id is null) = (proved_at is null) and (method is null) = (proved_at is null)),
    constraint sign_ins_path_form check (return_path ~ '^/' and length(return_path) <= 2000)
);
create index sign_ins_tenant on platform.sign_ins (tenant_id);
create index sign_ins_person on platform.sign_ins (person_id);
create index sign_ins_invitation on platform.sign_ins (tenant_id, invitation_id);
create index sign_ins_browser on platform.sign_ins (auth_browser_sha256);
create index sign_ins_expiry on platform.sign_ins (expires_at);
