//! Calls as scripts: `>` is what happens, `<` all that must follow (events are left out), `@` moves the clock to a
//! millisecond, ticking whenever the machine asked for it.

mod greeting;
pub(crate) mod stage;
mod tools;

use stage::{check, check_from_the_start, check_with};

#[test]
fn the_agent_speaks_first_once_both_legs_are_up() {
    check_from_the_start(
        r#"
        > connected
        > session.created
        < model session.update
        > session.updated audio/pcmu
        > start
        < model ask-1 says "Hello, this is Barbara."
        > response r1
        > audio r1 a1 800
        < carrier media 800
        < carrier mark 0.0
        "#,
    );
    check_from_the_start(
        r#"
        > start
        > session.created
        < model session.update
        > session.updated audio/pcmu
        < model ask-1 says "Hello, this is Barbara."
        "#,
    );
}

#[test]
fn a_call_that_cannot_begin_ends_with_its_reason() {
    for (what, reason) in [
        (
            "> start\n> session.created\n< model session.update\n> session.updated audio/pcm",
            "model_unavailable",
        ),
        ("> start\n> model closed", "model_unavailable"),
        ("> start\n> error invalid_api_key", "model_refused"),
        ("> session.created\n< model session.update\n> error unknown_parameter", "model_unavailable"),
        ("> start\n> model {\"type\":7}", "model_unavailable"),
        ("> start\n@ 6000", "model_unavailable"),
        (
            "> session.created\n< model session.update\n> session.updated audio/pcmu\n@ 10000",
            "carrier_never_started",
        ),
        ("> start MZ1 CA2", "carrier_misbehaved"),
        ("> start\n> stop", "caller_hung_up"),
        ("> carrier closed", "caller_hung_up"),
        ("> drain", "shutting_down"),
    ] {
        check_from_the_start(&format!("{what}\n< close carrier\n< close model\n< finished {reason}"));
    }
}

/// The greeting was spoken and heard; the caller may speak.
const GREETED: &str = r#"
    > response r1
    > audio r1 a1 800
    < carrier media 800
    < carrier mark 0.0
    > words a1 Hello, this is Barbara.
    > item_done r1 a1
    > done r1 completed
    @ 100
    > mark 0.0
    < model is granted the initiative
    < turn agent 0-100 "Hello, this is Barbara." heard 100 of 100
    > session.updated audio/pcmu
"#;

/// An answer of two pieces is on its way to the caller.
const ANSWERING: &str = r#"
    > speech u1
    @ 600
    > stopped u1
    > committed u1 a1
    > response r2
    > heard u1 What time is it?
    < turn caller 100-600 "What time is it?"
    > audio r2 a2 800
    < carrier media 800
    < carrier mark 0.1
    > audio r2 a2 800
    < carrier media 800
    < carrier mark 0.2
    > words a2 It is half past three in the afternoon.
"#;

#[test]
fn both_sides_are_written_down_in_order() {
    // The caller's words come after the answer was heard.
    check(&format!(
        r#"{GREETED}
        > speech u1
        @ 600
        > stopped u1
        > committed u1 a1
        > response r2
        > audio r2 a2 800
        < carrier media 800
        < carrier mark 0.1
        > words a2 Half past three.
        > item_done r2 a2
        > done r2 completed
        @ 700
        > mark 0.1
        > heard u1 What time is it?
        < turn caller 100-600 "What time is it?"
        < turn agent 600-700 "Half past three." heard 100 of 100
        "#
    ));
    // The agent's words come a little ahead of their sound.
    check(&format!(
        r#"{GREETED}
        > speech u1
        > stopped u1
        > response r2
        > words a2 Half past
        > audio r2 a2 800
        < carrier media 800
        < carrier mark 0.1
        > words a2  three.
        > done r2 completed
        > mark 0.1
        < turn agent 100-100 "Half past three." heard 100 of 100
        "#
    ));
    // Words that never come hold the rest up only for a while.
    check(&format!(
        r#"{GREETED}
        > speech u1
        @ 600
        > stopped u1
        > committed u1
        > response r2
        > audio r2 a2 800
        < carrier media 800
        < carrier mark 0.1
        > words a2 Half past three.
        > done r2 completed
        > mark 0.1
        @ 10600
        < turn agent 600-600 "Half past three." heard 100 of 100
        "#
    ));
    check(&format!(
        r#"{GREETED}
        > speech u1
        > stopped u1
        > committed u1
        > speech u2
        > stopped u2
        > committed u2 u1
        > heard u2 Second.
        > not_heard u1
        < turn caller 100-100 "Second."
        "#
    ));
}

#[test]
fn an_interruption_silences_at_once_and_truncates_at_what_was_heard() {
    check(&format!(
        r#"{GREETED}{ANSWERING}
        @ 700
        > mark 0.1
        > speech u2
        < carrier clear
        < model truncate a2 at 100
        < turn agent 600-700 "It is half past" heard 100 of 200 interrupted
        # Late speech of that answer is dropped; marks that the clearing returned prove nothing.
        > audio r2 a2 800
        > mark 0.2
        > done r2 cancelled
        # A second word interrupts nothing.
        > speech u3
        "#
    ));
}

#[test]
fn what_was_not_heard_at_all_is_deleted() {
    check(&format!(
        r"{GREETED}{ANSWERING}
        > speech u2
        < carrier clear
        < model delete a2
        "
    ));
}

#[test]
fn there_is_no_clear_before_any_playback() {
    check(&format!(
        r"{GREETED}
        > speech u1
        > stopped u1
        > committed u1
        > response r2
        > speech u2
        # Cancelled before its first piece, which is late.
        > audio r2 a2 800
        > done r2 cancelled
        "
    ));
}

#[test]
fn fractions_of_a_millisecond_are_floored_and_never_beyond_what_was_sent() {
    check(&format!(
        r"{GREETED}
        > speech u1
        > stopped u1
        > response r2
        > audio r2 a2 807
        < carrier media 807
        < carrier mark 0.1
        > mark 0.1
        > speech u2
        < model truncate a2 at 100
        "
    ));
}

#[test]
fn several_items_of_an_answer_each_stop_at_their_own_place() {
    check(&format!(
        r#"{GREETED}
        > speech u1
        > stopped u1
        > response r2
        > audio r2 a2 800
        < carrier media 800
        < carrier mark 0.1
        > audio r2 a3 800
        < carrier media 800
        < carrier mark 0.2
        > item_done r2 a2
        > audio r2 a3 800
        < carrier media 800
        < carrier mark 0.3
        > audio r2 a4 80
        < carrier media 80
        < carrier mark 0.4
        > words a2 First.
        > words a3 Second half.
        > mark 0.2
        < turn agent 100-100 "First." heard 100 of 100
        > speech u2
        < carrier clear
        < model truncate a3 at 100
        < model delete a4
        < turn agent 100-100 "Second" heard 100 of 200 interrupted
        "#
    ));
}

#[test]
fn marks_of_an_earlier_playback_and_of_nobody_are_ignored() {
    check(&format!(
        r"{GREETED}{ANSWERING}
        > speech u2
        < carrier clear
        < model delete a2
        > mark 0.1
        > mark 0.2
        > mark 0.0
        > mark 1.7
        > mark nonsense
        > done r2 cancelled
        > stopped u2
        > response r3
        > audio r3 a3 80
        < carrier media 80
        < carrier mark 1.3
        > mark 0.3
        > speech u3
        < carrier clear
        < model delete a3
        "
    ));
}

#[test]
fn only_one_answer_is_asked_for_at_a_time() {
    // A key is pressed while the model answers on its own: ours comes after it.
    check(&format!(
        r#"{GREETED}{ANSWERING}
        > dtmf 1
        > dtmf #
        < model caller_text "[The caller pressed 1# on the telephone's keypad.]"
        > done r2 completed
        < model ask-2 answers
        "#
    ));
    // We lose the race against the model's own answer: asked again afterwards.
    check(&format!(
        r##"{GREETED}
        > dtmf #
        < model caller_text "[The caller pressed # on the telephone's keypad.]"
        < model ask-2 answers
        < turn keypad 100-100 "#"
        > response r2
        > error conversation_already_has_active_response ask-2
        > done r2 completed
        < model ask-3 answers
        > response r3
        > done r3 completed
        "##
    ));
    check(&format!(
        r##"{GREETED}
        > dtmf #
        < model caller_text "[The caller pressed # on the telephone's keypad.]"
        < model ask-2 answers
        < turn keypad 100-100 "#"
        > error conversation_already_has_active_response ask-2
        > done unseen completed
        < model ask-3 answers
        # News of an older request changes nothing.
        > error conversation_already_has_active_response ask-2
        "##
    ));
    // While the caller speaks nothing is asked for; the model answers on its own, and that answers the keys too.
    check(&format!(
        r##"{GREETED}
        > speech u1
        > dtmf #
        < model caller_text "[The caller pressed # on the telephone's keypad.]"
        < turn keypad 100-100 "#"
        > stopped u1
        < model ask-2 answers
        > speech u2
        > response r2
        < model cancel r2
        > audio r2 a2 80
        > done r2 cancelled
        "##
    ));
}

#[test]
fn gaps_are_filled_with_silence() {
    check(&format!(
        r"{GREETED}
        > media 1000 160
        < model append 160
        > media 1020 160
        < model append 160
        # 60 ms are missing.
        > media 1100 160
        < model silence 480
        < model append 160
        # At most ten seconds are made up.
        > media 60000 160
        < model silence 80000
        < model append 160
        # Time goes backward: a new beginning, nothing is missing.
        > media 0 160
        < model append 160
        # The carrier's rounding is no gap.
        > media 39 160
        < model append 160
        "
    ));
    // While the caller speaks and the carrier sends nothing, time must pass for the model's detector.
    check(&format!(
        r"{GREETED}
        > media 1000 160
        < model append 160
        > speech u1
        @ 850
        < model silence 8000
        @ 1850
        < model silence 8000
        > stopped u1
        @ 5000
        > media 5000 160
        < model silence 15840
        < model append 160
        "
    ));
}

#[test]
fn keys_become_words_after_a_pause() {
    check(&format!(
        r#"{GREETED}
        > dtmf 4
        > dtmf 2
        @ 1600
        < model caller_text "[The caller pressed 42 on the telephone's keypad.]"
        < model ask-2 answers
        < turn keypad 100-100 "42"
        "#
    ));
}

#[test]
fn silence_is_asked_about_then_let_go() {
    check(&format!(
        r#"{GREETED}
        @ 12100
        < model ask-2 says "Are you still there?"
        > response r2
        > audio r2 a2 800
        < carrier media 800
        < carrier mark 0.1
        > done r2 completed
        # The clock starts when it was heard, not when it was sent.
        @ 20000
        > mark 0.1
        @ 32000
        < model ask-3 says "Are you still there?"
        > response r3
        > done r3 completed
        @ 44000
        < model input_audio_buffer.clear
        < model ask-4 says "I can't hear you anymore, so I'll let you go. Please call again any time. Goodbye!"
        > response r4
        > audio r4 a4 800
        < carrier media 800
        < carrier mark 0.2
        > words a4 Goodbye!
        > done r4 completed
        > media 50000 160
        > speech u1
        > mark 0.2
        < hang up
        < close carrier
        < turn agent 44000-44000 "Goodbye!" heard 100 of 100
        < close model
        < finished caller_silent
        "#
    ));
}

#[test]
fn a_goodbye_that_does_not_come_is_not_waited_for() {
    check(&format!(
        r#"{GREETED}{ANSWERING}
        > drain
        < model input_audio_buffer.clear
        < model cancel r2
        > done r2 cancelled
        < model ask-2 says "I'm sorry, I have to end our call here. Please call again in a few minutes. Goodbye!"
        # The model's own answer is not wanted now.
        > response r3
        > error conversation_already_has_active_response ask-2
        > done r3 cancelled
        < model ask-3 says "I'm sorry, I have to end our call here. Please call again in a few minutes. Goodbye!"
        @ 15600
        < hang up
        < close carrier
        < close model
        < finished shutting_down
        "#
    ));
}

#[test]
fn the_longest_call_ends_with_a_goodbye() {
    check_with(
        |limits| limits.call_ms_max = 5000,
        &format!(
            r#"{GREETED}
            @ 5000
            < model input_audio_buffer.clear
            < model ask-2 says "I'm sorry, we've reached the end of the time I have for one call. Please call again any time. Goodbye!"
            > response r2
            > done r2 failed server_error
            < hang up
            < close carrier
            < close model
            < finished call_too_long
            "#
        ),
    );
}

#[test]
fn last_words_are_awaited_briefly() {
    check(&format!(
        r#"{GREETED}
        > speech u1
        @ 600
        > stop
        < close carrier
        < model input_audio_buffer.commit
        > committed u1 a1
        > heard u1 Never mind.
        < turn caller 100-600 "Never mind."
        < close model
        < finished caller_hung_up
        "#
    ));
    check(&format!(
        r"{GREETED}
        > speech u1
        > stop
        < close carrier
        < model input_audio_buffer.commit
        > error input_audio_buffer_commit_empty
        < close model
        < finished caller_hung_up
        "
    ));
    check(&format!(
        r#"{GREETED}
        > response r2
        > tool r2 c1 remember {{}}
        < run c1 remember {{}}
        > over
        < close carrier
        < model cancel r2
        @ 2100
        < turn tool 100-2100 "remember: not done when the call was over"
        < close model
        < finished caller_hung_up
        > heard u1 Too late.
        "#
    ));
    check(&format!(
        "{GREETED}\n> stop\n< close carrier\n< close model\n< finished caller_hung_up\n> stop\n@ 9000000"
    ));
}

#[test]
fn a_lost_leg_ends_the_call_with_its_reason() {
    for (what, reason) in [
        ("> carrier closed", "carrier_lost"),
        ("> carrier stalled", "carrier_stalled"),
        ("> carrier too_large", "carrier_misbehaved"),
        ("> model closed", "model_lost"),
        ("> model stalled", "model_stalled"),
        ("> model too_large", "model_misbehaved"),
        ("> error session_expired", "model_expired"),
        ("> error insufficient_quota", "model_refused"),
        ("> response r2\n> done r2 failed insufficient_quota", "model_refused"),
        ("> response r2\n> done r2 failed session_expired", "model_expired"),
        ("> response r2\n@ 15100", "model_stalled"),
    ] {
        check(&format!("{GREETED}{what}\n< close carrier\n< close model\n< finished {reason}"));
    }
}

#[test]
fn failed_answers_are_asked_for_again_a_few_times() {
    check(&format!(
        r"{GREETED}
        > response r2
        > done r2 failed rate_limit_exceeded
        < model ask-2 answers
        > response r3
        > done r3 failed rate_limit_exceeded
        < model ask-3 answers
        > error server_error ask-3
        < model ask-4 answers
        > response r4
        > done r4 failed server_error
        < close carrier
        < close model
        < finished model_lost
        "
    ));
}

#[test]
fn harmless_errors_and_unknown_events_change_nothing() {
    check(&format!(
        r#"{GREETED}
        > error response_cancel_not_active
        > error something_new
        > model {{"type":"brand.new","delta":[1]}}
        > model {{"type":"response.output_audio.delta","delta":7}}
        > model {{
        > model {{"type":"session.updated","session":{{}}}}
        > carrier {{
        > carrier {{"event":"media","streamSid":"MZ2","media":{{"timestamp":"1","payload":"////"}}}}
        > carrier {{"event":"brand new","streamSid":"MZ1"}}
        > carrier binary
        > model binary
        > start
        > media 100 160
        < model append 160
        "#
    ));
}

#[test]
fn garbage_and_floods_have_an_end() {
    let ended = |reason: &str| format!("< close carrier\n< close model\n< finished {reason}");
    check_with(
        |limits| limits.carrier_bad_frames_max = 1,
        &format!("{GREETED}> carrier {{\n> carrier binary\n{}", ended("carrier_misbehaved")),
    );
    check_with(
        |limits| limits.model_bad_events_max = 1,
        &format!("{GREETED}> model {{\n> error odd\n{}", ended("model_misbehaved")),
    );
    check_with(
        |limits| limits.carrier_frames_per_second_max = 2,
        &format!(
            "{GREETED}> media 0 0\n< model append 0\n> media 0 0\n< model append 0\n@ 1100\n\
             > media 0 0\n< model append 0\n> media 0 0\n< model append 0\n> media 0 0\n{}",
            ended("carrier_flood")
        ),
    );
    check_with(
        |limits| limits.carrier_audio_ms_per_second_max = 20,
        &format!("{GREETED}> media 0 160\n< model append 160\n> media 20 1\n{}", ended("carrier_flood")),
    );
    check_with(
        |limits| limits.unplayed_ms_max = 200,
        &format!("{GREETED}{ANSWERING}> audio r2 a2 8\n{}", ended("model_misbehaved")),
    );
}

#[test]
fn the_log_of_events_is_bounded() {
    let script = format!("{GREETED}{}", "> model {\"type\":\"brand.new\"}\n".repeat(50));
    let call = stage::play(|limits| limits.events_max = 20, &script);
    assert_eq!(call.events, 20);
    assert_eq!(call.session.totals().events_dropped, 50 - (20 - call.events_before_strangers()));
}
