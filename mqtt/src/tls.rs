//! TLS: whom to trust, and who this client is.

use crate::{BrokerOptions, MqttError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// The settings for one broker. Always checks the broker's certificate and name.
pub(crate) fn configuration(options: &BrokerOptions) -> Result<Arc<ClientConfig>, MqttError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let wants_roots = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| MqttError::Setting(format!("TLS cannot be used: {error}")))?;
    let wants_client = wants_roots.with_root_certificates(roots(options.ca.as_deref())?);
    let configuration = match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate, "a certificate")?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| pem(key, "a key", &error))?;
            wants_client
                .with_client_auth_cert(chain, private)
                .map_err(|error| pem(certificate, "a certificate with this key", &error))?
        }
        (None, None) => wants_client.with_no_client_auth(),
        _ => {
            let reason = "a client certificate needs both 'certificate' and 'key'";
            return Err(MqttError::Setting(reason.to_string()));
        }
    };
    Ok(Arc::new(configuration))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, MqttError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let reason =
                "the system trusts no authority: install the package ca-certificates, or give --mqtt-ca";
            return Err(MqttError::Setting(reason.to_string()));
        }
        return Ok(roots);
    };
    for certificate in certificates(path, "an authority")? {
        roots.add(certificate).map_err(|error| pem(path, "an authority", &error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, MqttError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|error| pem(path, what, &error))?;
    if read.is_empty() {
        return Err(pem(path, what, &"there is no certificate in it"));
    }
    Ok(read)
}

fn pem(path: &Path, what: &'static str, reason: &dyn std::fmt::Display) -> MqttError {
    MqttError::Pem { path: path.to_path_buf(), what, reason: reason.to_string() }
}
