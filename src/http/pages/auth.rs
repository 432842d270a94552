//! On the host where people prove who they are, for all tenants: which ways there are, the link by mail, the invitation, and
//! the hand-over to the tenant's host.

use axum::Form;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;

use super::html::{self, Page, escaped, form};
use super::{Pages, failed, foreign, nobody_here, not_in, refused, too_often};
use crate::db::tx::PlatformTx;
use crate::http::cookies::{self, Cookie};
use crate::http::origin;
use crate::identity::Address;
use crate::identity::sign_in::{self, Next, SignIn, Stage};
use crate::ids::SignInId;
use crate::secret::{self, Secret};
use crate::tenants::reach;

/// The ways in which somebody may prove who they are. The attempt is bound to this browser from here on.
pub(super) async fn choose(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Response> {
    if !pages.is_auth(&parts) {
        return Err(nobody_here(&parts));
    }
    let id: SignInId = id.parse().map_err(|_| not_in(&parts))?;
    let kept = cookies::read(&parts.headers, cookies::SIGN_IN);
    let kept = kept.unwrap_or_else(|| Secret::new(secret::random_token()));
    let mut tx = sign_in::enter(&pages.db, id).await.map_err(|fault| failed(&fault, &parts))?;
    let arrived = sign_in::arrive(&mut tx, id, &kept).await.map_err(|error| refused(error, &parts))?;
    let sign_in = arrived.ok_or_else(|| not_in(&parts))?;
    let page = match sign_in.stage {
        Stage::Begun => ways(&pages, &mut tx, &sign_in, &parts, None).await?,
        Stage::Accept => invitation(&sign_in),
        Stage::Passkey | Stage::Handed | Stage::Done | Stage::Failed => return Err(not_in(&parts)),
    };
    tx.commit().await.map_err(|fault| failed(&fault, &parts))?;
    let mut response = page.response();
    Cookie::SIGN_IN_THERE.set(&mut response, &kept);
    Ok(response)
}

#[derive(Deserialize)]
pub(super) struct ToAddress {
    #[serde(default)]
    email: String,
}

/// Has a link mailed, if somebody here reads the mail of that address; says the same whether or not.
pub(super) async fn by_mail(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    parts: Parts,
    Form(to): Form<ToAddress>,
) -> Result<Response, Response> {
    let (mut tx, sign_in) = held(&pages, &id, &parts).await?;
    let Ok(address) = to.email.parse::<Address>() else {
        let page = ways(&pages, &mut tx, &sign_in, &parts, Some("That is no e-mail address.")).await?;
        return Ok(page.response());
    };
    if !pages.sends_mail {
        return Err(not_in(&parts));
    }
    pages.brakes.account(&address).map_err(|wait| too_often(wait, &parts))?;
    sign_in::ask_link(&mut tx, &sign_in, &address).await.map_err(|error| refused(error, &parts))?;
    tx.commit().await.map_err(|fault| failed(&fault, &parts))?;
    let body = format!(
        "<p>If {} belongs to a member or to somebody who is invited, a link is on its way there. It works for 15 minutes, \
         once, in this browser.</p><p class=\"small\">Nothing came? Look among unwanted mail, or begin again with \
         another address.</p>",
        escaped(address.reveal())
    );
    Ok(Page::new("Look at your mail", body).response())
}

/// A link that was mailed is opened.
pub(super) async fn link(
    State(pages): State<Pages>,
    Path(token): Path<String>,
    parts: Parts,
) -> Result<Response, Response> {
    if !pages.is_auth(&parts) {
        return Err(nobody_here(&parts));
    }
    pages.slow_down(&parts).map_err(|response| *response)?;
    let token = Secret::new(token);
    let found = sign_in::of_link(&pages.db, &token).await.map_err(|fault| failed(&fault, &parts))?;
    let kept = cookies::read(&parts.headers, cookies::SIGN_IN);
    let (Some(id), Some(kept)) = (found, kept) else { return Err(not_in(&parts)) };
    let mut tx = sign_in::enter(&pages.db, id).await.map_err(|fault| failed(&fault, &parts))?;
    let held = sign_in::held(&mut tx, id, &kept).await.map_err(|error| refused(error, &parts))?;
    let sign_in = held.ok_or_else(|| not_in(&parts))?;
    let next = sign_in::link_opened(&mut tx, &sign_in, &token).await;
    go_on(tx, &sign_in, next.map_err(|error| refused(error, &parts))?, &parts).await
}

/// Whoever came by the link of an invitation goes on as its address.
pub(super) async fn by_invitation(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Response> {
    let (mut tx, sign_in) = held(&pages, &id, &parts).await?;
    let next = sign_in::by_invitation(&mut tx, &sign_in).await;
    go_on(tx, &sign_in, next.map_err(|error| refused(error, &parts))?, &parts).await
}

/// Accepts the invitation that was found for whoever proved who they are.
pub(super) async fn accept(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Response> {
    let (mut tx, sign_in) = held(&pages, &id, &parts).await?;
    let next = sign_in::accept(&mut tx, &sign_in).await;
    go_on(tx, &sign_in, next.map_err(|error| refused(error, &parts))?, &parts).await
}

/// The attempt that a form is about, locked, and only for a page of this host in the browser to which it is bound.
async fn held(pages: &Pages, id: &str, parts: &Parts) -> Result<(PlatformTx, SignIn), Response> {
    if !pages.is_auth(parts) {
        return Err(nobody_here(parts));
    }
    if !origin::is_own(&parts.headers, &parts.uri) {
        return Err(foreign(parts));
    }
    pages.slow_down(parts).map_err(|response| *response)?;
    let kept = cookies::read(&parts.headers, cookies::SIGN_IN);
    let (Ok(id), Some(kept)) = (id.parse::<SignInId>(), kept) else { return Err(not_in(parts)) };
    let mut tx = sign_in::enter(&pages.db, id).await.map_err(|fault| failed(&fault, parts))?;
    let held = sign_in::held(&mut tx, id, &kept).await.map_err(|error| refused(error, parts))?;
    Ok((tx, held.ok_or_else(|| not_in(parts))?))
}

/// Commits a step, and answers with what follows.
async fn go_on(tx: PlatformTx, sign_in: &SignIn, next: Next, parts: &Parts) -> Result<Response, Response> {
    tx.commit().await.map_err(|fault| failed(&fault, parts))?;
    match next {
        Next::Passkey => Ok(html::see_other(&format!("/signin/{}/passkey", sign_in.id))),
        Next::Accept(_) => Ok(invitation(sign_in).response()),
        Next::HandOver(code) => Ok(handed_over(sign_in, &code).response()),
        Next::Nobody => Err(not_in(parts)),
    }
}

async fn ways(
    pages: &Pages,
    tx: &mut PlatformTx,
    sign_in: &SignIn,
    parts: &Parts,
    wrong: Option<&str>,
) -> Result<Page, Response> {
    let invited = sign_in::invited(tx, sign_in).await.map_err(|error| refused(error, parts))?;
    let by_invitation = invited.map_or_else(String::new, |(address, standing)| {
        let (role, button) = (escaped(standing.name()), format!("Go on as {}", address.reveal()));
        let form = form(&format!("/signin/{}/invitation", sign_in.id), &[], &button);
        format!("<p>You are invited to join as {role}.</p>{form}")
    });
    let wrong = wrong.map_or_else(String::new, |wrong| {
        format!("<p class=\"wrong\" role=\"alert\">{}</p>", escaped(wrong))
    });
    let by_mail = if pages.sends_mail { by_mail_form(sign_in) } else { String::new() };
    let host = sign_in.host.rsplit_once(':').map_or(&*sign_in.host, |(host, _)| host);
    Ok(Page::new(&format!("Sign in to {host}"), format!("{by_invitation}{wrong}{by_mail}")))
}

fn by_mail_form(sign_in: &SignIn) -> String {
    format!(
        "<form method=\"post\" action=\"/signin/{}/mail\"><label>E-mail address<input type=\"email\" name=\"email\" \
         autocomplete=\"email\" required></label><button>Send me a link</button></form>",
        sign_in.id
    )
}

fn invitation(sign_in: &SignIn) -> Page {
    let host = sign_in.host.rsplit_once(':').map_or(&*sign_in.host, |(host, _)| host);
    let body = form(&format!("/signin/{}/accept", sign_in.id), &[], "Accept the invitation");
    Page::new(&format!("Join {host}"), body)
}

/// A page that posts the code to the tenant's host, and to no other.
fn handed_over(sign_in: &SignIn, code: &Secret) -> Page {
    let origin = reach::origin_of(&sign_in.host);
    let id = sign_in.id.to_string();
    let fields = [("id", &*id), ("code", code.reveal())];
    let body = form(&format!("{origin}/signin/complete"), &fields, "Go on");
    Page::new("You are signed in", body).sent_to(origin)
}
