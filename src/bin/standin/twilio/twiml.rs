//! Reads the TwiML that the product answers with: the verbs a stand-in call can follow. Everything else is Twilio's
//! error 12100 with a sentence saying what was wrong. Knows the grammar only, not what the verbs do.

use roxmltree::{Document, Node};
use std::fmt;
use std::time::Duration;

/// Twilio's own limit of a document.
pub(crate) const BYTES_MAX: usize = 64 * 1024;
/// Twilio's limit of a parameter's name and value together.
const PARAMETER_CHARS_MAX: usize = 500;
const PAUSE_MAX: u64 = 600;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    Connect { after: Option<Target>, stream: Stream },
    Say { text: String, voice: Option<String> },
    Pause(Duration),
    Play(String),
    Redirect(Target),
    Reject { reason: String },
    Hangup,
}

/// Where to ask for the next document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) method: Method,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) url: String,
    pub(crate) name: Option<String>,
    pub(crate) status_callback: Option<String>,
    pub(crate) parameters: Vec<(String, String)>,
}

/// Error 12100 and what was wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

/// The verbs of a document, in order.
pub(crate) fn read(document: &str) -> Result<Vec<Verb>, Malformed> {
    if BYTES_MAX < document.len() {
        return Err(Malformed(format!("the document has more than {BYTES_MAX} bytes")));
    }
    let document = Document::parse(document).map_err(|error| Malformed(error.to_string()))?;
    let root = document.root_element();
    if root.tag_name().name() != "Response" {
        return Err(Malformed(format!("the root is <{}>, not <Response>", root.tag_name().name())));
    }
    only(root, &[])?;
    children(root)?.into_iter().map(verb).collect()
}

fn verb(node: Node<'_, '_>) -> Result<Verb, Malformed> {
    match node.tag_name().name() {
        "Connect" => connect(node),
        "Say" => {
            only(node, &["voice", "language", "loop"])?;
            Ok(Verb::Say { text: text(node)?, voice: attribute(node, "voice") })
        }
        "Pause" => {
            only(node, &["length"])?;
            let length = attribute(node, "length").map_or(Ok(1), |length| length.parse::<u64>());
            match length {
                Ok(seconds) if seconds <= PAUSE_MAX => Ok(Verb::Pause(Duration::from_secs(seconds))),
                Ok(_) | Err(_) => Err(Malformed(format!("<Pause length> is not 0 to {PAUSE_MAX} seconds"))),
            }
        }
        "Play" => {
            only(node, &["loop", "digits"])?;
            Ok(Verb::Play(text(node)?))
        }
        "Redirect" => {
            only(node, &["method"])?;
            Ok(Verb::Redirect(Target { url: text(node)?, method: method(node)? }))
        }
        "Reject" => {
            only(node, &["reason"])?;
            Ok(Verb::Reject { reason: attribute(node, "reason").unwrap_or_else(|| "rejected".to_owned()) })
        }
        "Hangup" => only(node, &[]).map(|()| Verb::Hangup),
        other => Err(Malformed(format!("<{other}> is no verb this stand-in knows"))),
    }
}

fn connect(node: Node<'_, '_>) -> Result<Verb, Malformed> {
    only(node, &["action", "method"])?;
    let method = method(node)?;
    let after = attribute(node, "action").map(|url| Target { url, method });
    let nouns = children(node)?;
    let [noun] = nouns.as_slice() else {
        return Err(Malformed("<Connect> takes exactly one noun".to_owned()));
    };
    if noun.tag_name().name() != "Stream" {
        return Err(Malformed(format!(
            "<Connect><{}> is no noun this stand-in knows",
            noun.tag_name().name()
        )));
    }
    only(*noun, &["url", "name", "track", "statusCallback", "statusCallbackMethod"])?;
    let url = attribute(*noun, "url").ok_or_else(|| Malformed("<Stream> has no url".to_owned()))?;
    if attribute(*noun, "track").is_some_and(|track| track != "inbound_track") {
        return Err(Malformed("<Connect><Stream> carries the inbound_track only".to_owned()));
    }
    let parameters = children(*noun)?.into_iter().map(parameter).collect::<Result<_, _>>()?;
    let (name, status_callback) = (attribute(*noun, "name"), attribute(*noun, "statusCallback"));
    Ok(Verb::Connect { after, stream: Stream { url, name, status_callback, parameters } })
}

fn parameter(node: Node<'_, '_>) -> Result<(String, String), Malformed> {
    if node.tag_name().name() != "Parameter" {
        return Err(Malformed(format!("<Stream> takes <Parameter>, not <{}>", node.tag_name().name())));
    }
    only(node, &["name", "value"])?;
    let (Some(name), Some(value)) = (attribute(node, "name"), attribute(node, "value")) else {
        return Err(Malformed("<Parameter> needs name and value".to_owned()));
    };
    if PARAMETER_CHARS_MAX <= name.chars().count() + value.chars().count() {
        return Err(Malformed(format!(
            "<Parameter name=\"{name}\"> has {PARAMETER_CHARS_MAX} characters or more"
        )));
    }
    Ok((name, value))
}

fn method(node: Node<'_, '_>) -> Result<Method, Malformed> {
    match attribute(node, "method").as_deref() {
        None | Some("POST") => Ok(Method::Post),
        Some("GET") => Ok(Method::Get),
        Some(other) => Err(Malformed(format!("method=\"{other}\" is neither GET nor POST"))),
    }
}

fn attribute(node: Node<'_, '_>, name: &str) -> Option<String> {
    node.attribute(name).map(str::to_owned)
}

fn text(node: Node<'_, '_>) -> Result<String, Malformed> {
    let text = node.text().unwrap_or_default().trim();
    if text.is_empty() {
        return Err(Malformed(format!("<{}> is empty", node.tag_name().name())));
    }
    if node.children().any(|child| child.is_element()) {
        return Err(Malformed(format!("<{}> holds other elements", node.tag_name().name())));
    }
    Ok(text.to_owned())
}

fn only(node: Node<'_, '_>, known: &[&str]) -> Result<(), Malformed> {
    match node.attributes().find(|attribute| !known.contains(&attribute.name())) {
        None => Ok(()),
        Some(strange) => {
            Err(Malformed(format!("<{}> has no attribute {}", node.tag_name().name(), strange.name())))
        }
    }
}

/// The elements inside, when there is nothing else but blanks and comments.
fn children<'a, 'input>(node: Node<'a, 'input>) -> Result<Vec<Node<'a, 'input>>, Malformed> {
    let loose = node
        .children()
        .any(|child| child.is_text() && child.text().is_some_and(|text| !text.trim().is_empty()));
    if loose {
        return Err(Malformed(format!("<{}> holds loose text", node.tag_name().name())));
    }
    Ok(node.children().filter(Node::is_element).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_accepted_call() {
        let verbs = read(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <Response>
              <!-- the agent -->
              <Connect action="https://v.example.com/after" method="POST">
                <Stream url="wss://v.example.com/media/abc" name="agent"><Parameter name="a" value="&lt;b&gt;"/></Stream>
              </Connect>
              <Say voice="Polly.Joanna">Sorry &amp; goodbye.</Say><Hangup/>
            </Response>"#,
        );
        let stream = Stream {
            url: "wss://v.example.com/media/abc".to_owned(),
            name: Some("agent".to_owned()),
            status_callback: None,
            parameters: vec![("a".to_owned(), "<b>".to_owned())],
        };
        let after = Some(Target { url: "https://v.example.com/after".to_owned(), method: Method::Post });
        let say = Verb::Say { text: "Sorry & goodbye.".to_owned(), voice: Some("Polly.Joanna".to_owned()) };
        assert_eq!(verbs, Ok(vec![Verb::Connect { after, stream }, say, Verb::Hangup]));
    }

    #[test]
    fn reads_each_verb() {
        let next = |method| Verb::Redirect(Target { url: "/next".to_owned(), method });
        for (inside, expected) in [
            ("", vec![]),
            ("<Pause/>", vec![Verb::Pause(Duration::from_secs(1))]),
            ("<Pause length=\"0\"/>", vec![Verb::Pause(Duration::ZERO)]),
            ("<Redirect> /next </Redirect>", vec![next(Method::Post)]),
            ("<Redirect method=\"GET\">/next</Redirect>", vec![next(Method::Get)]),
            ("<Reject reason=\"busy\"/>", vec![Verb::Reject { reason: "busy".to_owned() }]),
            ("<Play>http://a/b.wav</Play>", vec![Verb::Play("http://a/b.wav".to_owned())]),
        ] {
            assert_eq!(read(&format!("<Response>{inside}</Response>")), Ok(expected), "{inside}");
        }
    }

    #[test]
    fn refuses_what_twilio_would() {
        let long = format!(
            "<Connect><Stream url=\"wss://a/b\"><Parameter name=\"n\" value=\"{}\"/></Stream></Connect>",
            "v".repeat(499)
        );
        for (inside, problem) in [
            ("<Dial>+1</Dial>", "<Dial> is no verb"),
            ("hello", "loose text"),
            ("<Say></Say>", "<Say> is empty"),
            ("<Say>a<b/></Say>", "holds other elements"),
            ("<Say volume=\"9\">a</Say>", "no attribute volume"),
            ("<Pause length=\"-1\"/>", "<Pause length>"),
            ("<Connect/>", "exactly one noun"),
            ("<Connect><Room/></Connect>", "<Connect><Room>"),
            ("<Connect><Stream/></Connect>", "no url"),
            (
                "<Connect action=\"/a\" method=\"PUT\"><Stream url=\"wss://a/b\"/></Connect>",
                "neither GET nor POST",
            ),
            ("<Connect><Stream url=\"wss://a/b\" track=\"both_tracks\"/></Connect>", "inbound_track only"),
            (long.as_str(), "500 characters or more"),
            ("<Hangup>", "expected 'Hangup' tag"),
        ] {
            let refused = read(&format!("<Response>{inside}</Response>")).unwrap_err().to_string();
            assert!(refused.contains(problem), "{inside}: {refused}");
        }
        assert!(read("").is_err());
        assert!(read("{}").is_err());
        assert!(read("<Answer/>").unwrap_err().to_string().contains("not <Response>"));
        assert!(read(&" ".repeat(BYTES_MAX + 1)).unwrap_err().to_string().contains("more than"));
    }
}
