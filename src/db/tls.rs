//! TLS to Postgres, as `sslmode` of the connection URL asks for it. Must never know whose connection it is.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::Path;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Fault, OrFault as _};

/// A connector that trusts the public certificate authorities and those of `ca_file`. It is not used with
/// `sslmode=disable`, and with `prefer`, the default, only where the server offers TLS.
pub(super) fn connector(ca_file: Option<&Path>) -> Result<MakeRustlsConnect, Fault> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_file {
        for certificate in CertificateDer::pem_file_iter(path).or_fault("read DATABASE_CA_FILE")? {
            roots.add(certificate.or_fault("read DATABASE_CA_FILE")?).or_fault("trust DATABASE_CA_FILE")?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .or_fault("set up TLS for Postgres")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
