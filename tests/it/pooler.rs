//! pgbouncer in transaction mode between the application and the test's Postgres, as a process of its own: a pooler that
//! is not ours, and with [`Pooler::with_tls`] a TLS server for Postgres that is not ours either. Ends with the value.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use url::Url;

/// How long pgbouncer may take to listen.
const START_MAX: Duration = Duration::from_secs(10);

/// A running pgbouncer.
pub(crate) struct Pooler {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Pooler {
    /// In front of the Postgres that `owner` names, for it and for the login role of `app`.
    pub(crate) fn start(owner: &str, app: &str) -> Self {
        Self::run(owner, app, "")
    }

    /// The same, and it refuses whoever does not speak TLS. [`Pooler::ca_file`] is what its clients must trust.
    pub(crate) fn with_tls(owner: &str, app: &str) -> Self {
        let tls = "client_tls_sslmode = require\nclient_tls_key_file = server.key\nclient_tls_cert_file = server.pem\n";
        Self::run(owner, app, tls)
    }

    fn run(owner: &str, app: &str, more: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("neurosphere-pooler-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let [server, app] = [owner, app].map(|url| Url::parse(url).unwrap());
        write(&folder, "users.txt", &format!("{}{}", account(&server), account(&app)));
        write(&folder, "server.ini", &settings(&server, port, more));
        certify(&folder);
        let process = Command::new("pgbouncer")
            .args(["-q", "server.ini"])
            .current_dir(&folder)
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer is brought by scripts/setup test");
        let pooler = Self { process, folder, port };
        pooler.wait();
        pooler
    }

    #[expect(clippy::disallowed_methods, reason = "a process is waited for in real time")]
    fn wait(&self) {
        let until = Instant::now() + START_MAX;
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "pgbouncer does not listen");
            std::thread::yield_now();
        }
    }

    /// The same database by way of the pooler.
    pub(crate) fn url(&self, direct: &str, host: &str, query: &str) -> String {
        let mut url = Url::parse(direct).unwrap();
        url.set_host(Some(host)).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.set_query(Some(query));
        url.into()
    }

    /// The authority that signed the pooler's certificate.
    pub(crate) fn ca_file(&self) -> String {
        self.folder.join("ca.pem").to_str().unwrap().to_owned()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn account(url: &Url) -> String {
    format!("\"{}\" \"{}\"\n", url.username(), url.password().unwrap())
}

fn settings(server: &Url, port: u16, more: &str) -> String {
    let (host, server_port) = (server.host_str().unwrap(), server.port().unwrap_or(5432));
    format!(
        "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = users.txt\npool_mode = transaction\n\
         default_pool_size = 8\n{more}"
    )
}

/// Readable by the user whom pgbouncer steps down to; what it holds are passwords of a test's database.
fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
}

/// An authority of this pooler alone, and a certificate for the name `localhost`, not for its address.
fn certify(folder: &Path) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write(folder, "ca.pem", &authority.self_signed(&authority_key).unwrap().pem());
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    write(folder, "server.pem", &server.signed_by(&key, &issuer).unwrap().pem());
    write(folder, "server.key", &key.serialize_pem());
}
