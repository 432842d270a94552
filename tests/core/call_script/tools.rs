//! Tool calls: each is run once, answered once, and a turn that people read.

use super::GREETED;
use super::stage::{check, check_with};

#[test]
fn every_tool_call_is_run_once_and_answered_once() {
    check(&format!(
        r#"{GREETED}
        > response r2
        > tool r2 c1 remember {{"fact":"x"}}
        < run c1 remember {{"fact":"x"}}
        > tool r2 c1 remember {{"fact":"x"}}
        > tool r2 c2 remember {{}}
        < run c2 remember {{}}
        > tool r2 c3 launch_missiles {{}}
        < model tool_output c3 {{"error":"there is no such tool"}}
        > done r2 completed
        @ 200
        > tool_done c2 {{"ok":true}}
        < model tool_output c2 {{"ok":true}}
        > tool_done c2 {{"ok":false}}
        > tool_done c9 {{"ok":false}}
        @ 300
        > tool_done c1 {{"ok":true}}
        < model tool_output c1 {{"ok":true}}
        < model ask-2 answers
        < turn tool 100-300 "Did c1."
        < turn tool 100-200 "Did c2."
        < turn tool 100-100 "launch_missiles: refused, as there is no such tool"
        "#
    ));
    // Interrupted, a call is still answered; an incomplete one was never made.
    check(&format!(
        r#"{GREETED}
        > response r2
        > tool r2 c1 remember {{}}
        < run c1 remember {{}}
        > speech u1
        > tool_incomplete r2 c2 remember {{}}
        > done r2 cancelled
        > tool_done c1 {{"ok":true}}
        < model tool_output c1 {{"ok":true}}
        < turn tool 100-100 "Did c1."
        > stopped u1
        < model ask-2 answers
        "#
    ));
    // A tool that hangs is answered for, and heard no more.
    check(&format!(
        r#"{GREETED}
        > response r2
        > tool r2 c1 remember {{}}
        < run c1 remember {{}}
        > done r2 completed
        @ 8100
        < model tool_output c1 {{"error":"the tool did not finish in time"}}
        < model ask-2 answers
        < turn tool 100-8100 "remember: not done in time"
        > tool_done c1 {{"ok":true}}
        "#
    ));
}

#[test]
fn a_tool_stands_where_it_was_used() {
    check(&format!(
        r#"{GREETED}
        > speech u1
        @ 600
        > stopped u1
        > committed u1 a1
        > response r2
        > tool r2 c1 remember {{}}
        < run c1 remember {{}}
        > done r2 completed
        @ 700
        > tool_done c1 {{}}
        < model tool_output c1 {{}}
        < model ask-2 answers
        > response r3
        > audio r3 a3 800
        < carrier media 800
        < carrier mark 0.1
        > words a3 I have noted it.
        > done r3 completed
        @ 800
        > mark 0.1
        # The caller's words come last; an item that is named like a call is another thing.
        > heard c1 Or was it?
        > heard u1 I keep bees.
        < turn caller 100-600 "I keep bees."
        < turn tool 600-700 "Did c1."
        < turn agent 700-800 "I have noted it." heard 100 of 100
        < turn caller 800-800 "Or was it?"
        "#
    ));
    // What is done after the line was cut is still said.
    check(&format!(
        r#"{GREETED}
        > response r2
        > tool r2 c1 remember {{}}
        < run c1 remember {{}}
        > done r2 completed
        > stop
        < close carrier
        @ 200
        > tool_done c1 {{}}
        < turn tool 100-200 "Did c1."
        < close model
        < finished caller_hung_up
        "#
    ));
    // Without a model the call ends at once.
    check(&format!(
        r#"{GREETED}
        > response r2
        > tool r2 c1 remember {{}}
        < run c1 remember {{}}
        > model closed
        < close carrier
        < turn tool 100-100 "remember: not done when the call was over"
        < close model
        < finished model_lost
        "#
    ));
}

#[test]
fn tools_have_limits() {
    check_with(
        |limits| {
            limits.tool_calls_max = 1;
            limits.tool_arguments_bytes_max = 4;
            limits.tool_output_bytes_max = 4;
        },
        &format!(
            r#"{GREETED}
            > response r2
            > tool r2 c1 remember {{"a":1}}
            < model tool_output c1 {{"error":"the arguments are too long"}}
            < turn tool 100-100 "remember: refused, as its arguments were too long"
            > tool r2 c2 remember {{}}
            < model tool_output c2 {{"error":"no more tool calls in this call"}}
            < model input_audio_buffer.clear
            < model cancel r2
            < turn tool 100-100 "remember: refused, as tools were used too often in this call"
            > tool r2 c3 remember {{}}
            > done r2 cancelled
            < model ask-2 says "I'm sorry, I have to end our call here. Please call again in a few minutes. Goodbye!"
            > response r3
            > audio r3 a3 800
            < carrier media 800
            < carrier mark 0.1
            > done r3 completed
            > mark 0.1
            < hang up
            < close carrier
            < close model
            < finished tool_limit
            "#
        ),
    );
    check_with(
        |limits| limits.tool_output_bytes_max = 4,
        &format!(
            r#"{GREETED}
            > response r2
            > tool r2 c1 remember {{}}
            < run c1 remember {{}}
            > done r2 completed
            > tool_done c1 {{"long":true}}
            < model tool_output c1 {{"error":"the result is too long"}}
            < model ask-2 answers
            < turn tool 100-100 "Did c1."
            "#
        ),
    );
}
