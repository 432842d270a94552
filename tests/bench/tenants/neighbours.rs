//! What others notice of a tenant that sends twenty times what it may: the p99 of their pages with it beside them and
//! without. For comparison the same neighbour with limits that let all of it through: what would be noticed if there were
//! none.
//!
//! Everybody sends at a fixed pace, the others one after the other, whatever becomes of what was sent before, and a page's
//! time counts from the moment at which it was due, so that waiting in line is part of it. The three cases take turns.

use futures_util::future::{join, join_all};
use neurosphere::access::{Actor, PlatformScope, Role};
use neurosphere::app::{App, Only, Running};
use neurosphere::tenants::life::{self, Exceptions, Terms};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::ask::page_request;
use crate::figures::Figures;
use crate::town::{Citizen, Town};

const OTHERS: u32 = 9;
/// What each of the others sends: less than half of what it may.
const OTHERS_PER_S: u32 = 20;
/// What each tenant may send: the plan `standard`.
const SHARE_PER_S: u32 = 50;
const NEIGHBOUR_PER_S: u32 = 20 * SHARE_PER_S;
/// Requests of one tenant under way at most; a client has only so many connections.
const UNDER_WAY_MAX: usize = 100;

/// How often the three cases are taken in turn, and for how long each.
#[derive(Clone, Copy)]
pub(crate) struct Turns {
    pub(crate) rounds: u32,
    pub(crate) time: Duration,
}

#[derive(Clone, Copy, PartialEq)]
enum Neighbour {
    Absent,
    Limited,
    Unlimited,
}

/// What came of one sender's requests.
#[derive(Default)]
struct Sent {
    answered: Figures,
    refused: usize,
    /// Not sent, because too many were under way.
    held_back: usize,
}

/// Measures in a town of ten, prints what came of it, the ratios last, and gives the details.
pub(crate) async fn measure(turns: Turns) -> Value {
    let mut town = Town::found().await;
    town.grow_to(usize::try_from(OTHERS).unwrap() + 1).await;
    for citizen in &town.citizens {
        set_terms(&town, citizen, Exceptions::default()).await;
    }
    let running = serve(&town).await;
    let (neighbour, others) = town.citizens.split_first().unwrap();
    let cases = [Neighbour::Absent, Neighbour::Limited, Neighbour::Unlimited];
    let mut of_others: [Vec<Figures>; 3] = Default::default();
    let mut of_neighbour: [Sent; 3] = Default::default();
    all(running.address, &town.citizens, Duration::from_secs(1)).await;
    for _ in 0..turns.rounds {
        for (place, case) in cases.into_iter().enumerate() {
            let exceptions = if case == Neighbour::Unlimited { everything() } else { Exceptions::default() };
            set_terms(&town, neighbour, exceptions).await;
            let rate = if case == Neighbour::Absent { 0 } else { NEIGHBOUR_PER_S };
            let loud = send(running.address, (neighbour, 0), rate, turns.time);
            let (loud, theirs) = join(loud, all(running.address, others, turns.time)).await;
            let untouched = theirs.iter().all(|sent| sent.refused == 0);
            assert!(untouched || case == Neighbour::Unlimited, "a limit is one tenant's, and nobody else's");
            of_others[place].extend(theirs.into_iter().map(|sent| sent.answered));
            of_neighbour[place].add(loud);
        }
    }
    running.stop().await;
    report(of_others, of_neighbour, turns)
}

/// The API's real server, on a socket.
async fn serve(town: &Town) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = App::new(town.app.config.clone(), town.app.clock.clone()).unwrap();
    app.start_on(listener, Only::Api).unwrap()
}

/// As much as an operator can allow.
fn everything() -> Exceptions {
    Exceptions { requests_per_s: Some(10_000), transactions_max: Some(1_000), ..Exceptions::default() }
}

async fn set_terms(town: &Town, citizen: &Citizen, exceptions: Exceptions) {
    let terms = Terms { plan: "standard".to_owned(), exceptions, canary: false };
    let operator = PlatformScope::mint(Actor::CommandLine, Role::Operator);
    let mut tx = town.app.db.operate(&operator).await.unwrap();
    life::set_terms(&mut tx, citizen.tenancy.tenant, &terms, "a measurement").await.unwrap();
    tx.commit().await.unwrap();
}

/// What these send at their pace for a while, each at its moment.
async fn all(address: SocketAddr, citizens: &[Citizen], time: Duration) -> Vec<Sent> {
    let places = (0_u32..).zip(citizens);
    join_all(places.map(|(place, citizen)| send(address, (citizen, place), OTHERS_PER_S, time))).await
}

/// Sends pages at a pace for a while, and waits for the last of them. Whoever has another place begins at another moment.
async fn send(address: SocketAddr, (citizen, place): (&Citizen, u32), per_s: u32, time: Duration) -> Sent {
    let mut sent = Sent::default();
    if per_s == 0 {
        return sent;
    }
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let pause = Duration::from_secs(1) / per_s;
    let begin = tokio::time::Instant::now() + pause * place / OTHERS;
    let mut beat = tokio::time::interval_at(begin, pause);
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (end, mut under_way) = (begin.into_std() + time, JoinSet::new());
    loop {
        let due = beat.tick().await.into_std();
        if end <= due {
            break;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            sent.held_back += 1;
            continue;
        };
        let request = page_request(&http, address, citizen);
        under_way.spawn(async move {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let body = answer.text().await.unwrap();
            drop(place);
            (status.as_u16(), due.elapsed(), body)
        });
        while let Some(one) = under_way.try_join_next() {
            sent.take(one.unwrap());
        }
    }
    while let Some(one) = under_way.join_next().await {
        sent.take(one.unwrap());
    }
    sent
}

impl Sent {
    fn take(&mut self, (status, time, body): (u16, Duration, String)) {
        match status {
            200 => {
                assert!(body.contains("\"calls\"") && !body.contains("errors"), "{body}");
                self.answered.add(time);
            }
            429 => self.refused += 1,
            other => panic!("{other}: {body}"),
        }
    }

    fn add(&mut self, other: Self) {
        self.answered = Figures::join([std::mem::take(&mut self.answered), other.answered]);
        self.refused += other.refused;
        self.held_back += other.held_back;
    }
}

fn report(of_others: [Vec<Figures>; 3], of_neighbour: [Sent; 3], turns: Turns) -> Value {
    let seconds = (turns.time * turns.rounds).as_secs_f64();
    let names = ["without a neighbour", "with a neighbour at 20x", "with a neighbour at 20x, unlimited"];
    let mut p99s = Vec::new();
    let mut cases = Vec::new();
    for ((name, others), loud) in names.into_iter().zip(of_others).zip(of_neighbour) {
        let others = Figures::join(others).told();
        let answered = loud.answered.told();
        let each_s = |count: f64| (count / seconds).round();
        let (served, refused) =
            (answered["count"].as_f64().unwrap(), f64::from(u32::try_from(loud.refused).unwrap()));
        println!(
            "{name:<36} others' pages p50/p99 {:.2}/{:.2} ms of {}; the neighbour's {} served, {} refused per second",
            others["p50_ms"].as_f64().unwrap(),
            others["p99_ms"].as_f64().unwrap(),
            others["count"],
            each_s(served),
            each_s(refused)
        );
        p99s.push(others["p99_ms"].as_f64().unwrap());
        cases.push(json!({
            "case": name, "others": others, "neighbour": answered,
            "neighbour_refused": loud.refused, "neighbour_held_back": loud.held_back,
        }));
    }
    let (limited, unlimited) = (p99s[1] / p99s[0], p99s[2] / p99s[0]);
    println!("others' p99 with a neighbour at 20x, unlimited / without: {unlimited:.2}");
    println!("others' p99 with a neighbour at 20x / without: {limited:.2} (aim: at most 2)");
    json!({ "neighbours": cases, "ratio": limited, "ratio_unlimited": unlimited })
}
