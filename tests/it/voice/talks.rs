//! Whole conversations with the stand-in world, in real time.

use super::stage::Stage;
use neurosphere::calls::Speaker;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_greets_is_interrupted_and_tells_the_time() {
    let stage = Stage::open().await;
    let caller = json!({"voice": "caller", "steps": [
        {"do": "await_reply", "quiet_ms": 700, "within_ms": 15000},
        {"do": "say", "text": "Can you explain how your car policies work?"},
        {"do": "interrupt", "text": "Sorry, let me stop you there. What time is it?", "after_ms": 3000, "within_ms": 15000},
        {"do": "expect_clear", "within_ms": 1500},
        {"do": "await_reply", "quiet_ms": 900, "within_ms": 15000},
        {"do": "hang_up"},
    ]});
    let (call, timeline) = stage.place(caller).await;
    for bad in ["step_failed", "warning", "error"] {
        let found: Vec<_> = timeline.iter().filter(|line| line["event"] == bad).collect();
        assert!(found.is_empty(), "{found:?}");
    }
    let greeted = timeline.iter().find(|line| line["event"] == "agent_starts").unwrap();
    assert!(greeted["at_ms"].as_u64().unwrap() < 2_000, "the agent speaks first: {greeted}");
    let (reason, turns) = stage.ended(&call).await;
    assert_eq!(reason, "caller_hung_up");
    let said: Vec<_> = turns.iter().map(|turn| (turn.speaker, turn.text.as_str())).collect();
    assert_eq!(said.len(), 5, "{said:?}");
    assert!(
        said[0].1.contains("This is Barbara with Peterson Family Insurance. How can I help you?"),
        "{said:?}"
    );
    assert_eq!(said[1], (Speaker::Caller, "Can you explain how your car policies work?"));
    assert_eq!(said[3], (Speaker::Caller, "Sorry, let me stop you there. What time is it?"));
    assert!(said[4].1.starts_with("It is "), "{said:?}");
    let cut = &turns[2];
    assert!(cut.interrupted && cut.speaker == Speaker::Agent, "{cut:?}");
    // Interrupted some three seconds into a quarter of a minute: only what was heard is kept.
    assert!((2_500..4_000).contains(&cut.heard_ms.unwrap()), "{cut:?}");
    assert!(cut.text.starts_with("Of course. A car policy") && cut.text.len() < 120, "{cut:?}");
}
