//! `neurosphere demo` as it runs with real providers: a process that waits for calls, which here a stand-in Twilio of the
//! test's places.

use crate::standin::Standin;
use crate::world::{ACCOUNT_SID, AUTH_TOKEN, World, fresh_number};
use neurosphere::ids::PhoneNumber;
use serde_json::{Value, json};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const CALLER: &str = "+19495550199";
const STRANGER: &str = "Hello, my name is John Smith. I would like to insure my car, a 2019 Toyota Camry.";

struct Demo {
    process: Child,
    out: Lines<BufReader<ChildStdout>>,
    printed: Vec<String>,
    webhook: String,
}

impl Demo {
    /// With real providers, as far as it can tell, and a database of its own.
    async fn start(world: &World, standin: &Standin, numbers: &[PhoneNumber; 2]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let database = world.app.config.database.main.owner_url.as_ref().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_neurosphere"));
        command.args(["demo", "--once", "--listen", &free.to_string(), "--numbers"]);
        command.args(numbers.each_ref().map(PhoneNumber::reveal));
        for unset in ["DATABASE_APP_URL", "PUBLIC_URL", "LISTEN_ADDR", "BASE_DOMAIN", "LOG", "LOG_FORMAT"] {
            command.env_remove(unset);
        }
        command.envs(standin.variables()).env("DATABASE_URL", database.reveal());
        command.envs([("TWILIO_ACCOUNT_SID", ACCOUNT_SID), ("TWILIO_AUTH_TOKEN", AUTH_TOKEN)]);
        command.env("OPENAI_API_KEY", "sk-test").current_dir(env!("CARGO_MANIFEST_DIR"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let out = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, out, printed: Vec::new(), webhook: format!("http://{free}/twilio") }
    }

    /// Reads on until it printed a line that says this.
    async fn until(&mut self, what: &str) {
        let reading = async {
            while let Some(line) = self.out.next_line().await.unwrap() {
                self.printed.push(line);
                if self.printed.last().unwrap().contains(what) {
                    return;
                }
            }
            panic!("ended before {what:?}: {:#?}", self.printed);
        };
        timeout(Duration::from_secs(30), reading).await.unwrap_or_else(|_| panic!("no {what:?} within 30 s"));
    }

    /// Reads the rest; how it ended, and what it complained about.
    async fn end(&mut self) -> (ExitStatus, String) {
        let ending = async {
            while let Some(line) = self.out.next_line().await.unwrap() {
                self.printed.push(line);
            }
            let mut complaints = String::new();
            self.process.stderr.take().unwrap().read_to_string(&mut complaints).await.unwrap();
            (self.process.wait().await.unwrap(), complaints)
        };
        timeout(Duration::from_secs(30), ending).await.expect("an end within 30 s")
    }

    /// Has the stand-in Twilio ring a number.
    async fn ring(&self, world: &World, standin: &Standin, (to, steps): (&PhoneNumber, Value)) {
        let order = json!({"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "from": CALLER, "to": to.reveal(),
            "caller": {"voice": "caller", "steps": steps}, "webhook_url": format!("{}/voice", self.webhook),
            "status_callback_url": format!("{}/status", self.webhook)});
        let placed = world.app.http.post(format!("{}/calls", standin.control)).json(&order).send().await;
        assert!(placed.unwrap().status().is_success());
    }

    /// The lines that say this.
    fn that_say(&self, what: &str) -> Vec<&str> {
        self.printed.iter().map(String::as_str).filter(|line| line.contains(what)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_real_calls_are_awaited_printed_and_summed_up() {
    let (world, standin) = (World::new().await, Standin::start());
    let numbers = [fresh_number(), fresh_number()];
    let [peterson, smith] = &numbers;
    let mut demo = Demo::start(&world, &standin, &numbers).await;
    demo.until(&format!("then call {} twice, and {} in between", peterson.reveal(), smith.reveal())).await;
    assert_eq!(demo.that_say("Twilio is real, OpenAI is real").len(), 1, "{:#?}", demo.printed);
    // Two at once; the third when the first is summed up, so that the caller is known.
    let (pause, hang_up) = (json!({"do": "silence", "ms": 2000}), json!({"do": "hang_up"}));
    let stranger = json!([{"do": "say", "text": STRANGER}, pause, hang_up]);
    let elsewhere = json!([{"do": "say", "text": "Hello. Do you know who I am?"}, pause, hang_up]);
    demo.ring(&world, &standin, (peterson, stranger)).await;
    demo.ring(&world, &standin, (smith, elsewhere)).await;
    demo.until("after the call: ").await;
    demo.until("after the call: ").await;
    let returning = json!([{"do": "await_reply", "quiet_ms": 300, "within_ms": 15000}, hang_up]);
    demo.ring(&world, &standin, (peterson, returning)).await;
    let (status, complaints) = demo.end().await;
    let printed = format!("{:#?}\n{complaints}", demo.printed);
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(!complaints.contains("ERROR"), "{printed}");
    for (what, times) in [
        (&*format!("Caller   {STRANGER}"), 1),
        ("[tool]   Remembered: The caller's name is John Smith.", 1),
        ("Caller   Hello. Do you know who I am?", 1),
        ("Barbara  Hi, this is Barbara with Peterson Family Insurance. Is this John Smith?", 1),
        ("[caller_hung_up]", 3),
        (
            "after the call: John Smith introduced himself. He would like to insure a 2019 Toyota Camry. [model]",
            1,
        ),
        ("after the call: An unknown caller asked whether we know them. [model]", 1),
        ("after the call: The caller said nothing that could be understood. [fallback]", 1),
        ("PUBLIC_URL names this machine only", 1),
        ("   ok  ", 5),
        ("BAD", 0),
    ] {
        assert_eq!(demo.that_say(what).len(), times, "{what}: {printed}");
    }
    // Whose line it is can be told, although two calls were told at once.
    let mut head = "";
    for line in &demo.printed {
        if line.starts_with("   [call_") {
            head = line;
        }
        for (agent, slug) in [("  Barbara  ", " at peterson]"), ("  Alex     ", " at smith]")] {
            assert!(!line.contains(agent) || head.ends_with(slug), "{line} below {head}: {printed}");
        }
    }
    let summary: Value = serde_json::from_str(demo.printed.last().unwrap()).expect("the last line is JSON");
    let number = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!(
        (number("calls"), number("tenants"), &summary["isolation"]),
        (3, 2, &json!("holds")),
        "{summary}"
    );
    assert!(6 <= number("turns") && 2 <= number("memories"), "{summary}");
    assert!(summary["latency_ms"].is_object(), "{summary}");
}
