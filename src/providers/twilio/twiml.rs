//! The documents that answer Twilio's webhooks, one constructor each. Owns their XML; must never know why one is
//! chosen.

use std::fmt::Write as _;

/// A finished document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twiml(String);

/// A media stream to connect a call to.
#[derive(Debug)]
pub struct ConnectStream<'a> {
    /// Where the audio goes: `wss://…` without a query string, which Twilio refuses (31920).
    pub stream_url: &'a str,
    /// What the stream is called in Twilio's logs.
    pub name: &'a str,
    /// Which document comes next, once we have closed the stream.
    pub after_url: &'a str,
}

impl Twiml {
    /// The media type of a document.
    pub const MEDIA_TYPE: &'static str = "text/xml; charset=utf-8";

    /// Connects the call to a bidirectional media stream. Nothing follows `<Connect>`: a trailing `<Pause>` would keep
    /// a finished call up and billed.
    pub fn connect(stream: &ConnectStream<'_>) -> Self {
        Self::document(|xml| {
            xml.push_str("<Connect");
            attribute(xml, "action", stream.after_url);
            attribute(xml, "method", "POST");
            xml.push_str("><Stream");
            attribute(xml, "url", stream.stream_url);
            attribute(xml, "name", stream.name);
            xml.push_str("/></Connect>");
        })
    }

    /// Speaks a sentence of that language (a tag such as `en-US`) and ends the call.
    pub fn say_and_hang_up(sentence: &str, language: &str) -> Self {
        Self::document(|xml| {
            xml.push_str("<Say");
            attribute(xml, "language", language);
            xml.push('>');
            escape(xml, sentence);
            xml.push_str("</Say><Hangup/>");
        })
    }

    /// Ends the call.
    pub fn hang_up() -> Self {
        Self::document(|xml| xml.push_str("<Hangup/>"))
    }

    /// The document's text.
    pub fn into_text(self) -> String {
        self.0
    }

    fn document(verbs: impl FnOnce(&mut String)) -> Self {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>");
        verbs(&mut xml);
        xml.push_str("</Response>");
        Self(xml)
    }
}

fn attribute(xml: &mut String, name: &str, value: &str) {
    // Writing into a String cannot fail.
    write!(xml, " {name}=\"").unwrap_or_default();
    escape(xml, value);
    xml.push('"');
}

/// XML 1.0 text: markup escaped, characters that no document may hold left out.
fn escape(xml: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            '\t' | '\n' | '\r' => xml.push(' '),
            '\u{FFFE}' | '\u{FFFF}' => {}
            control if control < ' ' => {}
            other => xml.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(twiml: Twiml, body: &str) {
        let expected = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>{body}</Response>");
        assert_eq!(twiml.into_text(), expected);
    }

    #[test]
    fn documents_are_exact_and_escaped() {
        check(
            Twiml::connect(&ConnectStream {
                stream_url: "wss://voice.example.com/twilio/media/a-b_c",
                name: "call \"1\" & <2>",
                after_url: "https://voice.example.com/twilio/after?x=1&y=2",
            }),
            "<Connect action=\"https://voice.example.com/twilio/after?x=1&amp;y=2\" method=\"POST\">\
             <Stream url=\"wss://voice.example.com/twilio/media/a-b_c\" name=\"call &quot;1&quot; &amp; &lt;2&gt;\"/>\
             </Connect>",
        );
        check(
            Twiml::say_and_hang_up("We're \u{0}sorry </Say>\nÄ\u{FFFF}", "en-US"),
            "<Say language=\"en-US\">We&apos;re sorry &lt;/Say&gt; Ä</Say><Hangup/>",
        );
        check(Twiml::hang_up(), "<Hangup/>");
    }
}
