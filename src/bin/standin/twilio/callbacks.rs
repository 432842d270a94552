//! Status callbacks of one call, delivered one after the other beside the call, so that a slow product does not hold up
//! its own call; doubled, late or swapped when the order says so.

use super::call::Call;
use super::order::Fault;
use super::twiml::{Method, Target};
use super::web::{Fields, Signed, Web};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const LATE: Duration = Duration::from_secs(2);

/// What is to be told, and where.
pub(crate) struct Callback {
    pub(crate) of: &'static str,
    pub(crate) url: String,
    pub(crate) fields: Fields,
}

/// Delivers until the other end is dropped.
pub(crate) async fn deliver(call: Arc<Call>, web: Web, mut callbacks: mpsc::UnboundedReceiver<Callback>) {
    let mut held = None;
    while let Some(callback) = callbacks.recv().await {
        if call.order.has(Fault::SwappedCallbacks) && held.is_none() {
            held = Some(callback);
            continue;
        }
        send(&call, &web, &callback).await;
        if let Some(earlier) = held.take() {
            send(&call, &web, &earlier).await;
        }
    }
    if let Some(earlier) = held {
        send(&call, &web, &earlier).await;
    }
}

async fn send(call: &Call, web: &Web, callback: &Callback) {
    if call.order.has(Fault::LateCallbacks) {
        tokio::time::sleep(LATE).await;
    }
    let times = if call.order.has(Fault::DuplicateCallbacks) { 2 } else { 1 };
    for _ in 0..times {
        let target = Target { url: callback.url.clone(), method: Method::Post };
        let answer = web.request(&call.order, &target, &callback.fields, Signed::Well).await;
        let answer = match answer {
            Ok(answer) => json!({ "status": answer.status, "took_ms": answer.took_ms }),
            Err(problem) => json!({ "code": problem.code, "problem": problem.message }),
        };
        let fields: serde_json::Map<_, _> =
            callback.fields.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        call.timeline.record("callback", &json!({ "of": callback.of, "answer": answer, "fields": fields }));
    }
}
