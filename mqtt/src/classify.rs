//! From the client library's errors to ones that say what to do.

use crate::MqttError;
use rumqttc::TlsError;
use rumqttc::v5::mqttbytes;
use rumqttc::v5::mqttbytes::v5::ConnectReturnCode;
use rumqttc::v5::{ConnectionError, StateError};
use rustls::AlertDescription as Alert;
use std::io;

/// What an error means: `connected` says whether the broker had accepted this client already.
pub(crate) fn classify(error: ConnectionError, address: &str, connected: bool) -> MqttError {
    let address = address.to_string();
    if let Some(tls) = tls_error(&error) {
        return of_tls(tls, address);
    }
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => MqttError::Credentials { address },
        ConnectionError::ConnectionRefused(
            code @ (ConnectReturnCode::ServerUnavailable
            | ConnectReturnCode::ServiceUnavailable
            | ConnectReturnCode::ServerBusy
            | ConnectReturnCode::ConnectionRateExceeded),
        ) => MqttError::Lost { address, reason: format!("{code:?}") },
        ConnectionError::ConnectionRefused(code) => {
            MqttError::Refused { address, reason: format!("{code:?}") }
        }
        ConnectionError::Tls(TlsError::Io(error)) | ConnectionError::Io(error) if !connected => {
            MqttError::Unreachable { address, reason: error.to_string() }
        }
        ConnectionError::Tls(error) => MqttError::Tls { address, reason: error.to_string() },
        ConnectionError::Timeout(_) => {
            MqttError::Unreachable { address, reason: "no answer in time".to_string() }
        }
        ConnectionError::MqttState(error) if !connected => {
            MqttError::Unreachable { address, reason: format!("{error} (mqtt:// to a TLS port does that)") }
        }
        error => MqttError::Lost { address, reason: error.to_string() },
    }
}

/// The TLS library's error inside the client library's.
fn tls_error(error: &ConnectionError) -> Option<&rustls::Error> {
    let io = match error {
        ConnectionError::Tls(TlsError::TLS(error)) => return Some(error),
        ConnectionError::Tls(TlsError::Io(error))
        | ConnectionError::Io(error)
        | ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error)),
        ) => error,
        _ => return None,
    };
    io::Error::get_ref(io)?.downcast_ref()
}

fn of_tls(error: &rustls::Error, address: String) -> MqttError {
    let reason = error.to_string();
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            MqttError::Untrusted { address, reason }
        }
        rustls::Error::AlertReceived(
            Alert::AccessDenied
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRequired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::HandshakeFailure
            | Alert::UnknownCA
            | Alert::UnsupportedCertificate,
        ) => MqttError::ClientCertificate { address, reason },
        _ => MqttError::Tls { address, reason },
    }
}
