//! Changing who is in the business: inviting, roles, removing, leaving, ending sessions.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::keys::ApiKeyScope;
use super::members::{Invitation, Member, MemberRole, Role};
use super::mutation::settled;
use super::problem::{Problem, UserError, id};
use super::registry;
use crate::access::KeyScope;
use crate::db::tx::TenantTx;
use crate::error::Error;
use crate::identity::invitations::{self, Delivery};
use crate::identity::{Address, Standing, members, roles, sessions};

/// Whom to invite, and as what.
#[derive(InputObject)]
pub(super) struct InviteMemberInput {
    /// Names this request, with 8 to 100 characters: the same request again invites nobody twice and gets the same answer.
    idempotency_key: String,
    /// The address to which the invitation is mailed.
    email: String,
    /// What who accepts it will be: no more than you are.
    role: MemberRole,
    /// The role of the business's own, with `CUSTOM` only.
    role_id: Option<ID>,
}

/// Which invitation to mail again.
#[derive(InputObject)]
pub(super) struct ResendInvitationInput {
    /// The invitation's id.
    invitation_id: ID,
}

/// Which invitation to take back.
#[derive(InputObject)]
pub(super) struct RevokeInvitationInput {
    /// The invitation's id.
    invitation_id: ID,
}

/// Which member, and what it becomes.
#[derive(InputObject)]
pub(super) struct ChangeMemberRoleInput {
    /// The member's id.
    member_id: ID,
    /// What it becomes: no more than you are.
    role: MemberRole,
    /// The role of the business's own, with `CUSTOM` only.
    role_id: Option<ID>,
}

/// Which member.
#[derive(InputObject)]
pub(super) struct RemoveMemberInput {
    /// The member's id.
    member_id: ID,
}

/// What the new role is.
#[derive(InputObject)]
pub(super) struct CreateRoleInput {
    /// Names this request, with 8 to 100 characters: the same request again makes no second role and gets the same answer.
    idempotency_key: String,
    /// What the business calls it: 1 to 100 characters.
    name: String,
    /// What it holds: one at least, and together no more than you may do.
    scopes: Vec<ApiKeyScope>,
}

/// Which role, and what it becomes.
#[derive(InputObject)]
pub(super) struct UpdateRoleInput {
    /// The role's id.
    role_id: ID,
    /// What the business calls it: 1 to 100 characters.
    name: String,
    /// What it holds: one at least, and together no more than you may do.
    scopes: Vec<ApiKeyScope>,
}

/// Which role.
#[derive(InputObject)]
pub(super) struct RemoveRoleInput {
    /// The role's id.
    role_id: ID,
}

/// Which session.
#[derive(InputObject)]
pub(super) struct RevokeSessionInput {
    /// The session's id.
    session_id: ID,
}

/// The invitation, or why nobody is invited.
#[derive(SimpleObject)]
pub(super) struct InviteMemberPayload {
    /// The invitation.
    invitation: Option<Invitation>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// The invitation that is mailed again, or why it is not.
#[derive(SimpleObject)]
pub(super) struct ResendInvitationPayload {
    /// The invitation.
    invitation: Option<Invitation>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// The invitation that nobody can accept any more, or why it still may be.
#[derive(SimpleObject)]
pub(super) struct RevokeInvitationPayload {
    /// The invitation.
    invitation: Option<Invitation>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// The member in its new role, or why it keeps the old one.
#[derive(SimpleObject)]
pub(super) struct ChangeMemberRolePayload {
    /// The member.
    member: Option<Member>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// The member who is out, or why it stays.
#[derive(SimpleObject)]
pub(super) struct RemoveMemberPayload {
    /// The member, as it was.
    member: Option<Member>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// You, who are out, or why you stay.
#[derive(SimpleObject)]
pub(super) struct LeavePayload {
    /// The member, as it was.
    member: Option<Member>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// The new role, or why there is none.
#[derive(SimpleObject)]
pub(super) struct CreateRolePayload {
    /// The role.
    role: Option<Role>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// The role as it is now, or why it is as it was.
#[derive(SimpleObject)]
pub(super) struct UpdateRolePayload {
    /// The role.
    role: Option<Role>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// The role that is no more, or why it stays.
#[derive(SimpleObject)]
pub(super) struct RemoveRolePayload {
    /// The role, as it was.
    role: Option<Role>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// The session that opens nothing any more, or why it still does.
#[derive(SimpleObject)]
pub(super) struct RevokeSessionPayload {
    /// The session's id.
    session_id: Option<ID>,
    /// Why nothing was changed; empty when all went well.
    errors: Vec<UserError>,
}

/// Changing who is in the business.
#[derive(Default)]
pub(super) struct MemberChanges;

#[Object]
impl MemberChanges {
    /// Invites somebody by mail, to be no more than you are.
    async fn invite_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and as what.")] input: InviteMemberInput,
    ) -> Result<InviteMemberPayload, Problem> {
        let deed = async |tx: &mut TenantTx<'_>| {
            let address: Address =
                input.email.parse().map_err(|_| Error::invalid("email", "must be an e-mail address"))?;
            let standing = standing(input.role, input.role_id.as_ref())?;
            invitations::invite(tx, &address, standing, Delivery::Mail, Some(&input.idempotency_key)).await
        };
        let (invitation, errors) = done(ctx, deed).await?;
        Ok(InviteMemberPayload { invitation: invitation.map(Into::into), errors })
    }

    /// Mails an invitation again, with a new link; the one before it is void, and its seven days begin anew.
    async fn resend_invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: ResendInvitationInput,
    ) -> Result<ResendInvitationPayload, Problem> {
        let deed = async |tx: &mut TenantTx<'_>| {
            invitations::resend(tx, id(&input.invitation_id, "invitation")?).await
        };
        let (invitation, errors) = done(ctx, deed).await?;
        Ok(ResendInvitationPayload { invitation: invitation.map(Into::into), errors })
    }

    /// Takes an invitation back. Repeated, it changes nothing and gets the same answer.
    async fn revoke_invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: RevokeInvitationInput,
    ) -> Result<RevokeInvitationPayload, Problem> {
        let deed = async |tx: &mut TenantTx<'_>| {
            invitations::revoke(tx, id(&input.invitation_id, "invitation")?).await
        };
        let (invitation, errors) = done(ctx, deed).await?;
        Ok(RevokeInvitationPayload { invitation: invitation.map(Into::into), errors })
    }

    /// Makes a member something else, up to what you are. Its sessions end: it signs in as what it is now.
    async fn change_member_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and what it becomes.")] input: ChangeMemberRoleInput,
    ) -> Result<ChangeMemberRolePayload, Problem> {
        let deed = async |tx: &mut TenantTx<'_>| {
            let standing = standing(input.role, input.role_id.as_ref())?;
            members::change_standing(tx, id(&input.member_id, "member")?, standing).await
        };
        let (member, errors) = done(ctx, deed).await?;
        Ok(ChangeMemberRolePayload { member: member.map(Into::into), errors })
    }

    /// Takes a member out of the business, and ends its sessions.
    async fn remove_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom.")] input: RemoveMemberInput,
    ) -> Result<RemoveMemberPayload, Problem> {
        let deed = async |tx: &mut TenantTx<'_>| members::remove(tx, id(&input.member_id, "member")?).await;
        let (member, errors) = done(ctx, deed).await?;
        Ok(RemoveMemberPayload { member: member.map(Into::into), errors })
    }

    /// Leaves the business, which needs a session. Its last owner cannot.
    async fn leave(&self, ctx: &Context<'_>) -> Result<LeavePayload, Problem> {
        let (member, errors) = done(ctx, async |tx: &mut TenantTx<'_>| members::leave(tx).await).await?;
        Ok(LeavePayload { member: member.map(Into::into), errors })
    }

    /// Makes a role of the business's own that may do no more than you.
    async fn create_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is.")] input: CreateRoleInput,
    ) -> Result<CreateRolePayload, Problem> {
        let CreateRoleInput { idempotency_key, name, scopes } = input;
        let scopes = known(scopes);
        let deed =
            async |tx: &mut TenantTx<'_>| roles::create(tx, &name, &scopes, Some(&idempotency_key)).await;
        let (role, errors) = done(ctx, deed).await?;
        Ok(CreateRolePayload { role: role.map(Into::into), errors })
    }

    /// Says anew what a role is called and holds; whoever is in it may that from the next request on.
    async fn update_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and what it becomes.")] input: UpdateRoleInput,
    ) -> Result<UpdateRolePayload, Problem> {
        let UpdateRoleInput { role_id, name, scopes } = input;
        let scopes = known(scopes);
        let deed =
            async |tx: &mut TenantTx<'_>| roles::change(tx, id(&role_id, "role")?, &name, &scopes).await;
        let (role, errors) = done(ctx, deed).await?;
        Ok(UpdateRolePayload { role: role.map(Into::into), errors })
    }

    /// Removes a role that nobody is in and nobody is invited to.
    async fn remove_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: RemoveRoleInput,
    ) -> Result<RemoveRolePayload, Problem> {
        let deed = async |tx: &mut TenantTx<'_>| roles::remove(tx, id(&input.role_id, "role")?).await;
        let (role, errors) = done(ctx, deed).await?;
        Ok(RemoveRolePayload { role: role.map(Into::into), errors })
    }

    /// Ends a session, at once and for good: one of your own, or anybody's if you may change members.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: RevokeSessionInput,
    ) -> Result<RevokeSessionPayload, Problem> {
        let deed =
            async |tx: &mut TenantTx<'_>| sessions::revoke(tx, id(&input.session_id, "session")?).await;
        let (session, errors) = done(ctx, deed).await?;
        Ok(RevokeSessionPayload { session_id: session.map(|session| ID(session.to_string())), errors })
    }
}

fn known(scopes: Vec<ApiKeyScope>) -> Vec<KeyScope> {
    scopes.into_iter().map(Into::into).collect()
}

fn standing(role: MemberRole, role_id: Option<&ID>) -> Result<Standing, Error> {
    match (role, role_id) {
        (MemberRole::Owner, None) => Ok(Standing::Owner),
        (MemberRole::Admin, None) => Ok(Standing::Admin),
        (MemberRole::Member, None) => Ok(Standing::Member),
        (MemberRole::Viewer, None) => Ok(Standing::Viewer),
        (MemberRole::Custom, Some(role)) => Ok(Standing::Custom(id(role, "role")?)),
        (MemberRole::Custom, None) => Err(Error::invalid("roleId", "must say which role")),
        (MemberRole::Owner | MemberRole::Admin | MemberRole::Member | MemberRole::Viewer, Some(_)) => {
            Err(Error::invalid("roleId", "goes with CUSTOM only"))
        }
    }
}

/// Does something to the tenant's own rows of the control plane.
async fn done<T>(
    ctx: &Context<'_>,
    deed: impl AsyncFnOnce(&mut TenantTx<'_>) -> Result<T, Error>,
) -> Result<(Option<T>, Vec<UserError>), Problem> {
    let mut session = registry(ctx).await?;
    let mut tx = session.begin().await?;
    let done = deed(&mut tx).await;
    settled(tx, done).await
}
