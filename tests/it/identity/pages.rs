//! The pages: from an invitation to a session and out again, by HTTP as a browser does it, with mail taken in by an SMTP
//! server of this test's own.

use super::stage::Stage;
use crate::api::Api;
use crate::world::World;
use neurosphere::access::{Actor, Role, TenantScope};
use neurosphere::identity::invitations::{self, Delivery};
use neurosphere::identity::jobs::Sites;
use neurosphere::identity::{Address, Standing, members};
use neurosphere::ids::InvitationId;
use reqwest::header::{LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

/// A server that takes every letter and keeps it.
#[derive(Clone, Default)]
struct Letterbox(Arc<Mutex<Vec<String>>>);

impl Letterbox {
    /// Opens one, and gives the URL of it.
    async fn open() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let letterbox = Self::default();
        let kept = letterbox.clone();
        let tasks = TaskTracker::new();
        let each = tasks.clone();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                each.spawn(kept.clone().take(stream));
            }
        });
        (letterbox, url)
    }

    async fn take(self, stream: TcpStream) {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 here\r\n").await.unwrap();
        let mut letter: Option<String> = None;
        while let Ok(Some(line)) = lines.next_line().await {
            let answer: &[u8] = match (&mut letter, line.as_str()) {
                (Some(text), ".") => {
                    self.0.lock().unwrap().push(std::mem::take(text));
                    letter = None;
                    b"250 taken\r\n"
                }
                (Some(text), line) => {
                    text.push_str(line);
                    text.push('\n');
                    continue;
                }
                (None, "DATA") => {
                    letter = Some(String::new());
                    b"354 go on\r\n"
                }
                (None, "QUIT") => return,
                (None, _) => b"250 fine\r\n",
            };
            if write.write_all(answer).await.is_err() {
                return;
            }
        }
    }

    fn letters(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The link in the last letter, which must go to that address.
    fn link(&self, to: &str) -> String {
        let letter = self.letters().pop().expect("a letter came");
        assert!(letter.contains(&format!("To: {to}")), "{letter}");
        let text = letter.replace("=\n", "").replace("=3D", "=");
        text.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned()
    }
}

/// Somebody at a browser: keeps the cookies of each host, and follows no redirect by itself.
struct Browser<'s> {
    api: &'s Api,
    http: reqwest::Client,
    cookies: Mutex<HashMap<(String, String), String>>,
}

impl<'s> Browser<'s> {
    fn of(api: &'s Api) -> Self {
        let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Self { api, http, cookies: Mutex::default() }
    }

    fn port(&self) -> u16 {
        self.api.address().port()
    }

    /// Opens an address, or a path of a host.
    async fn get(&self, address: &str) -> Response {
        self.send(Method::GET, address, None, &[]).await
    }

    /// Posts a form, as a page of the host with that name would.
    async fn post(&self, address: &str, from: &str, form: &[(&str, &str)]) -> Response {
        self.send(Method::POST, address, Some(format!("http://{from}:{}", self.port())), form).await
    }

    async fn send(
        &self,
        method: Method,
        address: &str,
        origin: Option<String>,
        form: &[(&str, &str)],
    ) -> Response {
        let url = url::Url::parse(address).unwrap();
        let host = url.host_str().unwrap().to_owned();
        let mut here = url.clone();
        here.set_host(Some("127.0.0.1")).unwrap();
        here.set_port(Some(self.port())).unwrap();
        let kept: Vec<_> = {
            let cookies = self.cookies.lock().unwrap();
            let of_host = cookies.iter().filter(|((known, _), _)| *known == host);
            of_host.map(|((_, name), value)| format!("{name}={value}")).collect()
        };
        let mut request = self.http.request(method.clone(), here);
        request = request.header("host", format!("{host}:{}", self.port())).header("cookie", kept.join("; "));
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        if method == Method::POST {
            request = request.form(form);
        }
        let response = request.send().await.unwrap();
        for line in response.headers().get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            assert!(line.contains("; Path=/; Secure; HttpOnly; SameSite="), "{line}");
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap().to_owned();
            let place = (host.clone(), name.to_owned());
            let mut cookies = self.cookies.lock().unwrap();
            if value.is_empty() {
                cookies.remove(&place)
            } else {
                cookies.insert(place, value)
            };
        }
        response
    }

    fn cookie(&self, host: &str, name: &str) -> Option<String> {
        self.cookies.lock().unwrap().get(&(host.to_owned(), name.to_owned())).cloned()
    }

    /// Begins at a tenant's host and arrives where people prove who they are.
    async fn arrive(&self, address: &str) -> String {
        let sent = self.get(address).await;
        assert_eq!(sent.status(), StatusCode::SEE_OTHER);
        let there = location(&sent);
        assert!(
            there.starts_with(&format!("http://auth.localhost:{}/signin/signin_", self.port())),
            "{there}"
        );
        assert_eq!(self.get(&there).await.status(), StatusCode::OK);
        there
    }

    /// Posts what the hand-over page would.
    async fn hand_over(&self, page: &str, host: &str) -> Response {
        let action = between(page, "action=\"", "\"").to_owned();
        assert_eq!(action, format!("http://{host}:{}/signin/complete", self.port()));
        let fields = [("id", field(page, "id")), ("code", field(page, "code"))];
        self.post(&action, "auth.localhost", &fields.each_ref().map(|(name, value)| (*name, &**value))).await
    }
}

fn location(response: &Response) -> String {
    response.headers()[LOCATION].to_str().unwrap().to_owned()
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    text.split(before).nth(1).and_then(|rest| rest.split(after).next()).unwrap_or_else(|| panic!("{text}"))
}

fn field(page: &str, name: &str) -> String {
    between(page, &format!("name=\"{name}\" value=\""), "\"").to_owned()
}

/// A stage whose mail comes into a letterbox.
async fn with_mail() -> (Stage, Letterbox) {
    let (letterbox, url) = Letterbox::open().await;
    let world = World::with(&[("SMTP_URL", url)]).await;
    let (api, tenant) = (Api::of(&world).await, world.tenant().await);
    (Stage { world, api, tenant }, letterbox)
}

async fn invited(stage: &Stage, address: &str, standing: Standing, delivery: Delivery) -> InvitationId {
    let scope = TenantScope::mint(stage.tenant.tenancy, Actor::CommandLine, Role::Operator);
    let mut session = stage.world.app.db.registry(&scope).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let address: Address = address.parse().unwrap();
    let made = invitations::invite(&mut tx, &address, standing, delivery, None).await.unwrap();
    tx.commit().await.unwrap();
    made.id
}

/// The link that is given by hand.
async fn link_of(stage: &Stage, id: InvitationId) -> String {
    let scope = TenantScope::mint(stage.tenant.tenancy, Actor::CommandLine, Role::Operator);
    let mut session = stage.world.app.db.registry(&scope).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    let made = invitations::link(&mut tx, id).await.unwrap();
    tx.commit().await.unwrap();
    let sites = Sites { base_domain: "localhost".to_owned(), port: Some(stage.api.address().port()) };
    sites.invitation(&made.slug, &made.token)
}

async fn deliver(stage: &Stage) {
    stage.world.app.runner().run_due().await.unwrap();
}

#[tokio::test]
async fn who_is_invited_by_mail_joins_signs_out_and_comes_back_by_a_link() {
    let (stage, letterbox) = with_mail().await;
    let host = format!("{}.localhost", stage.tenant.slug);
    let home = format!("http://{host}:{}/", stage.api.address().port());
    invited(&stage, "Ann@Example.com", Standing::Admin, Delivery::Mail).await;
    deliver(&stage).await;
    let browser = Browser::of(&stage.api);

    let there = browser.arrive(&letterbox.link("ann@example.com")).await;
    let page =
        browser.post(&format!("{there}/invitation"), "auth.localhost", &[]).await.text().await.unwrap();
    assert!(page.contains("Accept the invitation"), "{page}");
    let page = browser.post(&format!("{there}/accept"), "auth.localhost", &[]).await.text().await.unwrap();
    let back = browser.hand_over(&page, &host).await;
    assert_eq!((back.status(), &*location(&back)), (StatusCode::SEE_OTHER, "/"));
    let session = browser.cookie(&host, "__Host-session").unwrap();
    assert!(browser.get(&home).await.text().await.unwrap().contains("You are signed in (admin)"));
    assert_eq!(browser.cookie("auth.localhost", "__Host-session"), None, "a session is its host's alone");

    let again = browser.hand_over(&page, &host).await;
    assert_eq!(again.status(), StatusCode::FORBIDDEN, "a code is good once");
    let out = browser.post(&format!("{home}signout"), &host, &[]).await;
    assert_eq!((out.status(), browser.cookie(&host, "__Host-session")), (StatusCode::SEE_OTHER, None));
    assert!(browser.get(&home).await.text().await.unwrap().contains("Sign in"));

    let there = browser.arrive(&format!("{home}signin?return=/graphql%3Fx")).await;
    browser.post(&format!("{there}/mail"), "auth.localhost", &[("email", "ann@example.com")]).await;
    deliver(&stage).await;
    let page = browser.get(&letterbox.link("ann@example.com")).await.text().await.unwrap();
    let back = browser.hand_over(&page, &host).await;
    assert_eq!(location(&back), "/graphql?x", "where it began");
    assert_ne!(
        browser.cookie(&host, "__Host-session").unwrap(),
        session,
        "a sign-in makes a session of its own"
    );
    for letter in letterbox.letters() {
        assert!(!letter.contains(&session), "{letter}");
    }
}

#[tokio::test]
async fn the_page_after_an_address_is_the_same_for_everybody_and_only_members_get_mail() {
    let (stage, letterbox) = with_mail().await;
    let browser = Browser::of(&stage.api);
    let home = format!("http://{}.localhost:{}/", stage.tenant.slug, stage.api.address().port());
    let visitor = stage.visitor("member").await;
    let member = format!("select email from platform.members where id = '{}'", visitor.member.uuid());
    let login = stage.world.as_login().await;
    login.batch_execute("begin; set local role neurosphere_platform").await.unwrap();
    let member: String = login.query_one(&member, &[]).await.unwrap().get(0);
    let other = stage.world.tenant().await;
    let elsewhere = stage.visitor_of(&other, "owner").await;
    let elsewhere = format!("select email from platform.members where id = '{}'", elsewhere.member.uuid());
    login.batch_execute("commit; begin; set local role neurosphere_platform").await.unwrap();
    let elsewhere: String = login.query_one(&elsewhere, &[]).await.unwrap().get(0);
    let mut pages = Vec::new();
    for (address, letters) in [("nobody@example.com", 0), (&*elsewhere, 0), (&*member, 1)] {
        let there = browser.arrive(&format!("{home}signin")).await;
        let page = browser.post(&format!("{there}/mail"), "auth.localhost", &[("email", address)]).await;
        assert_eq!(page.status(), StatusCode::OK);
        pages.push(page.text().await.unwrap().replace(address, "<address>"));
        deliver(&stage).await;
        assert_eq!(letterbox.letters().len(), letters, "after {address}");
    }
    assert!(pages.iter().all(|page| *page == pages[0]), "{pages:?}");
    let there = browser.arrive(&format!("{home}signin")).await;
    let page = browser.post(&format!("{there}/mail"), "auth.localhost", &[("email", "x\r\nBcc: y@z")]).await;
    assert!(page.text().await.unwrap().contains("no e-mail address"));
}

#[tokio::test]
async fn a_step_counts_only_in_the_browser_and_on_the_host_where_it_began() {
    let (stage, letterbox) = with_mail().await;
    let host = format!("{}.localhost", stage.tenant.slug);
    let port = stage.api.address().port();
    let id = invited(&stage, "ann@example.com", Standing::Member, Delivery::ByHand).await;
    let link = link_of(&stage, id).await;
    let (victim, thief) = (Browser::of(&stage.api), Browser::of(&stage.api));
    let there = victim.arrive(&link).await;
    assert_eq!(thief.get(&there).await.status(), StatusCode::FORBIDDEN, "an attempt is one browser's");
    let posted = thief.post(&format!("{there}/invitation"), "auth.localhost", &[]).await;
    assert_eq!(posted.status(), StatusCode::FORBIDDEN);
    let foreign = victim.post(&format!("{there}/invitation"), "smith.localhost", &[]).await;
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN, "a page of another site");
    victim.post(&format!("{there}/invitation"), "auth.localhost", &[]).await;
    let page = victim.post(&format!("{there}/accept"), "auth.localhost", &[]).await.text().await.unwrap();
    let fields = [("id", field(&page, "id")), ("code", field(&page, "code"))];
    let fields = fields.each_ref().map(|(name, value)| (*name, &**value));
    let complete = format!("http://{host}:{port}/signin/complete");
    let refused = victim.post(&complete, &host, &fields).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "only the sign-in host hands over");
    thief.get(&format!("http://{host}:{port}/signin")).await;
    let stolen = thief.post(&complete, "auth.localhost", &fields).await;
    assert_eq!(stolen.status(), StatusCode::FORBIDDEN, "a code in another browser");
    let spent = victim.post(&complete, "auth.localhost", &fields).await;
    assert_eq!(spent.status(), StatusCode::FORBIDDEN, "a stolen code is spent");

    let asking = Browser::of(&stage.api);
    let there = asking.arrive(&format!("http://{host}:{port}/signin?return=//evil.example")).await;
    asking.post(&format!("{there}/mail"), "auth.localhost", &[("email", "ann@example.com")]).await;
    deliver(&stage).await;
    let mailed = letterbox.link("ann@example.com");
    assert_eq!(thief.get(&mailed).await.status(), StatusCode::FORBIDDEN, "a link in another browser");
    let page = asking.get(&mailed).await.text().await.unwrap();
    let other = stage.world.tenant().await;
    let elsewhere = format!("http://{}.localhost:{port}/signin/complete", other.slug);
    asking.get(&format!("http://{}.localhost:{port}/signin", other.slug)).await;
    let fields = [("id", field(&page, "id")), ("code", field(&page, "code"))];
    let fields = fields.each_ref().map(|(name, value)| (*name, &**value));
    assert_eq!(asking.post(&elsewhere, "auth.localhost", &fields).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(asking.get(&mailed).await.status(), StatusCode::FORBIDDEN, "a link is good once");

    let there = asking.arrive(&format!("http://{host}:{port}/signin?return=//evil.example")).await;
    asking.post(&format!("{there}/mail"), "auth.localhost", &[("email", "ann@example.com")]).await;
    deliver(&stage).await;
    let page = asking.get(&letterbox.link("ann@example.com")).await.text().await.unwrap();
    let late =
        "update platform.sign_ins set handed_at = handed_at - interval '60 seconds' where stage = 'handed'";
    stage.as_platform(late).await;
    assert_eq!(asking.hand_over(&page, &host).await.status(), StatusCode::FORBIDDEN, "after 60 seconds");
    let there = asking.arrive(&format!("http://{host}:{port}/signin?return=//evil.example")).await;
    asking.post(&format!("{there}/mail"), "auth.localhost", &[("email", "ann@example.com")]).await;
    deliver(&stage).await;
    let page = asking.get(&letterbox.link("ann@example.com")).await.text().await.unwrap();
    let back = asking.hand_over(&page, &host).await;
    assert_eq!((back.status(), &*location(&back)), (StatusCode::SEE_OTHER, "/"), "no way leads elsewhere");
}

#[tokio::test]
async fn an_invitation_is_accepted_once_in_time_and_by_its_newest_link() {
    let (stage, _letterbox) = with_mail().await;
    let port = stage.api.address().port();
    let opens = async |link: &str| {
        let browser = Browser::of(&stage.api);
        let there = browser.arrive(link).await;
        browser.get(&there).await.text().await.unwrap().contains("You are invited")
    };
    let id = invited(&stage, "ann@example.com", Standing::Owner, Delivery::ByHand).await;
    let first = link_of(&stage, id).await;
    assert!(opens(&first).await);
    let second = link_of(&stage, id).await;
    assert!(!opens(&first).await && opens(&second).await);
    let expire = format!("update platform.invitations set expires_at = now() where id = '{}'", id.uuid());
    stage.as_platform(&expire).await;
    assert!(!opens(&second).await);
    let id = invited(&stage, "ann@example.com", Standing::Owner, Delivery::ByHand).await;
    let link = link_of(&stage, id).await;
    let browser = Browser::of(&stage.api);
    let there = browser.arrive(&link).await;
    browser.post(&format!("{there}/invitation"), "auth.localhost", &[]).await;
    let scope = TenantScope::mint(stage.tenant.tenancy, Actor::CommandLine, Role::Operator);
    let mut session = stage.world.app.db.registry(&scope).await.unwrap();
    let mut tx = session.begin().await.unwrap();
    invitations::revoke(&mut tx, id).await.unwrap();
    tx.commit().await.unwrap();
    let refused = browser.post(&format!("{there}/accept"), "auth.localhost", &[]).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "taken back in the meantime");
    let text = refused.text().await.unwrap();
    assert!(text.contains("Request ") && !text.contains("ann@example.com"), "{text}");
    let mut tx = session.begin().await.unwrap();
    assert!(
        members::list(&mut tx, neurosphere::db::page::Page { first: 5, after: None })
            .await
            .unwrap()
            .is_empty()
    );
    drop(tx);
    for (host, path, status) in [
        ("nobody", "/", StatusCode::NOT_FOUND),
        ("nobody", "/signin", StatusCode::NOT_FOUND),
        ("auth", "/signin", StatusCode::NOT_FOUND),
        (&*stage.tenant.slug, "/signin/signin_00000000000000000000000000", StatusCode::NOT_FOUND),
        ("auth", "/signin/signin_00000000000000000000000000", StatusCode::FORBIDDEN),
        ("auth", "/signin/x", StatusCode::FORBIDDEN),
        ("auth", "/link/x", StatusCode::FORBIDDEN),
    ] {
        let address = format!("http://{host}.localhost:{port}{path}");
        assert_eq!(browser.get(&address).await.status(), status, "{address}");
    }
}

#[tokio::test]
async fn who_tries_too_often_is_slowed_whoever_it_is() {
    let (stage, letterbox) = with_mail().await;
    let port = stage.api.address().port();
    let browser = Browser::of(&stage.api);
    let begin = format!("http://{}.localhost:{port}/signin", stage.tenant.slug);
    invited(&stage, "ann@example.com", Standing::Viewer, Delivery::ByHand).await;
    let mut told = Vec::new();
    for address in ["ann@example.com", "nobody@example.com"] {
        let mut statuses = Vec::new();
        for _ in 0..6 {
            let there = browser.arrive(&begin).await;
            let asked = browser.post(&format!("{there}/mail"), "auth.localhost", &[("email", address)]).await;
            statuses.push(asked.status().as_u16());
        }
        told.push(statuses);
    }
    assert_eq!(told[0], [200, 200, 200, 200, 200, 429]);
    assert_eq!(told[0], told[1], "an account that is there is not told from one that is not");
    deliver(&stage).await;
    assert_eq!(letterbox.letters().len(), 5);
    let mut last = browser.get(&begin).await;
    for _ in 0..60 {
        last = browser.get(&begin).await;
    }
    assert_eq!(last.status(), StatusCode::TOO_MANY_REQUESTS, "an address");
    let wait: u64 = last.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
}
