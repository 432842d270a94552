//! On a tenant's host: who is signed in, the way in, the way back from where somebody proved who they are, the way out.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;

use super::html::{self, Page, escaped, form};
use super::{Pages, failed, foreign, not_in, refused, too_often};
use crate::http::cookies::{self, Cookie};
use crate::http::origin;
use crate::identity::sessions;
use crate::identity::sign_in::{self, Beginning, Return};
use crate::ids::SignInId;
use crate::secret::Secret;
use crate::tenants::reach;

/// Which business, and whether the browser is in.
pub(super) async fn home(State(pages): State<Pages>, parts: Parts) -> Result<Response, Response> {
    let here = pages.here(&parts).await?;
    let held = match cookies::read(&parts.headers, cookies::SESSION) {
        Some(secret) => sessions::holder(&pages.db, &here.host, &secret).await,
        None => Ok(None),
    };
    let body = match held.map_err(|fault| failed(&fault, &parts))? {
        Some(scope) => {
            let role = escaped(scope.role().name());
            format!("<p>You are signed in ({role}).</p>{}", form("/signout", &[], "Sign out"))
        }
        None => "<p><a href=\"/signin\">Sign in</a></p>".to_owned(),
    };
    Ok(Page::new(&here.tenant.name, body).response())
}

/// What a link to the way in may say.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(rename = "return", default)]
    return_path: String,
    #[serde(default)]
    invitation: Option<String>,
}

/// Begins a sign-in and sends the browser to where people prove who they are.
pub(super) async fn sign_in(
    State(pages): State<Pages>,
    Query(wanted): Query<Wanted>,
    parts: Parts,
) -> Result<Response, Response> {
    pages.slow_down(&parts).map_err(|response| *response)?;
    let here = pages.here(&parts).await?;
    pages.brakes.tenant(here.tenant.id).map_err(|wait| too_often(wait, &parts))?;
    let beginning = Beginning {
        tenant: here.tenant.id,
        host: here.named.clone(),
        return_path: sign_in::local_path(&wanted.return_path).to_owned(),
        invitation: wanted.invitation.map(Secret::new),
    };
    let begun = sign_in::begin(&pages.db, &beginning).await.map_err(|error| refused(error, &parts))?;
    let auth = reach::origin_of(&pages.auth_beside(&here.named));
    let mut response = html::see_other(&format!("{auth}/signin/{}", begun.id));
    Cookie::SIGN_IN_HERE.set(&mut response, &begun.browser);
    Ok(response)
}

/// What comes back.
#[derive(Deserialize)]
pub(super) struct Coming {
    id: String,
    code: String,
}

/// Takes the code that a page of the sign-in host posts, and opens the session.
pub(super) async fn complete(
    State(pages): State<Pages>,
    parts: Parts,
    Form(coming): Form<Coming>,
) -> Result<Response, Response> {
    pages.slow_down(&parts).map_err(|response| *response)?;
    let here = pages.here(&parts).await?;
    let auth = pages.auth_beside(&here.named);
    let comes_from_there =
        parts.headers.get(header::ORIGIN).is_some_and(|origin| origin::is_at(origin, &auth));
    let browser_secret = cookies::read(&parts.headers, cookies::SIGN_IN);
    let (true, Some(kept), Ok(id)) = (comes_from_there, browser_secret, coming.id.parse::<SignInId>()) else {
        return Err(not_in(&parts));
    };
    let (code, before) = (Secret::new(coming.code), cookies::read(&parts.headers, cookies::SESSION));
    let back = Return { host: &here.named, browser: &kept, code: &code, before: before.as_ref() };
    let mut tx = sign_in::enter(&pages.db, id).await.map_err(|fault| failed(&fault, &parts))?;
    let completed = sign_in::complete(&mut tx, id, back, &pages.browser(&parts)).await;
    let completed = completed.map_err(|error| refused(error, &parts))?;
    // Committed either way: a code that came to the wrong place is spent.
    tx.commit().await.map_err(|fault| failed(&fault, &parts))?;
    let completed = completed.ok_or_else(|| not_in(&parts))?;
    let mut response = html::see_other(&completed.return_path);
    Cookie::SESSION.set(&mut response, &completed.session);
    Cookie::SIGN_IN_HERE.clear(&mut response);
    Ok(response)
}

/// Ends the browser's session.
pub(super) async fn sign_out(State(pages): State<Pages>, parts: Parts) -> Result<Response, Response> {
    let here = pages.here(&parts).await?;
    if !origin::is_own(&parts.headers, &parts.uri) {
        return Err(foreign(&parts));
    }
    if let Some(secret) = cookies::read(&parts.headers, cookies::SESSION) {
        let ended = sessions::end(&pages.db, &here.host, &secret).await;
        ended.map_err(|error| refused(error, &parts))?;
    }
    let mut response = html::see_other("/");
    Cookie::SESSION.clear(&mut response);
    Ok(response)
}
