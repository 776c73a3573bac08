//! What can go wrong between a unit and its home, and what to do about it.

use anchorwatch_store::StoreError;
use std::io;
use std::path::PathBuf;

/// Why something is not sent or collected.
#[derive(Debug, thiserror::Error)]
pub enum MqttError {
    /// The broker's address cannot be understood.
    #[error("'{url}' is no broker ({reason}): write mqtt://host:port, or mqtts://host:port for TLS")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A setting cannot be used.
    #[error("{0}")]
    Setting(String),
    /// A file of a setting cannot be read.
    #[error("cannot read '{path}': {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("'{path}' cannot be used as {what}: {reason}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// As what.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// No connection.
    #[error(
        "no connection to {address}: {reason}. Is the broker running, is the port right, does a firewall hold it up?"
    )]
    Unreachable {
        /// The broker.
        address: String,
        /// Why.
        reason: String,
    },
    /// Wrong user or password.
    #[error(
        "{address} refuses user or password: check both, and that the broker knows them (mosquitto_passwd -b FILE USER PASSWORD, then restart it)"
    )]
    Credentials {
        /// The broker.
        address: String,
    },
    /// The broker's certificate is not trusted.
    #[error(
        "the certificate of {address} is not trusted ({reason}): name the authority that signed it with --mqtt-ca, and write the host as the certificate has it"
    )]
    Untrusted {
        /// The broker.
        address: String,
        /// What is wrong with the certificate.
        reason: String,
    },
    /// The broker wants another client certificate.
    #[error(
        "{address} does not accept this client's certificate ({reason}): give 'certificate' and 'key', signed by the authority in the broker's 'cafile'"
    )]
    ClientCertificate {
        /// The broker.
        address: String,
        /// What the broker says.
        reason: String,
    },
    /// TLS where there is none, or the other way round.
    #[error("{address} does not speak TLS as it should ({reason}): mqtts:// is for the broker's TLS port")]
    Tls {
        /// The broker.
        address: String,
        /// What was wrong.
        reason: String,
    },
    /// The broker does not want this client.
    #[error("{address} refuses the connection: {reason}")]
    Refused {
        /// The broker.
        address: String,
        /// The broker's reason.
        reason: String,
    },
    /// The connection is gone.
    #[error("the connection to {address} is lost: {reason}")]
    Lost {
        /// The broker.
        address: String,
        /// Why.
        reason: String,
    },
    /// The broker refuses a message.
    #[error("the broker refuses messages to '{topic}' ({reason}): check its access list and limits")]
    NotAllowed {
        /// The topic.
        topic: String,
        /// The broker's reason.
        reason: String,
    },
    /// The broker refuses a subscription.
    #[error("the broker refuses the subscription to '{filter}' ({reason}): check its access list")]
    NoSubscription {
        /// The topic filter.
        filter: String,
        /// The broker's reason.
        reason: String,
    },
    /// Nobody would get it.
    #[error(
        "nobody has subscribed to '{topic}', so its events wait: start 'anchorwatch collect', or give --mqtt-without-subscriber"
    )]
    NoSubscriber {
        /// The topic.
        topic: String,
    },
    /// Two programs that send one log would send everything twice.
    #[error(
        "'{folder}' is being sent already, by {who}: leave it to that, or end that first ('anchorwatch log {folder} --unsent' lists what waits)"
    )]
    BeingSent {
        /// The log's folder.
        folder: PathBuf,
        /// The program that sends it.
        who: String,
    },
    /// The turn to send cannot be taken.
    #[error("cannot use '{path}': {source}")]
    Turn {
        /// The file that is locked.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The field log cannot be read or marked.
    #[error("the field log: {0}")]
    Store(#[from] StoreError),
    /// What was collected could not be kept.
    #[error("what was collected could not be kept, and will come again: {0}")]
    Keep(String),
    /// The system has no thread or socket left.
    #[error("cannot start: {0}")]
    Start(io::Error),
}

impl MqttError {
    /// Whether it stays so until somebody changes a setting, here or at the broker.
    pub fn needs_a_change(&self) -> bool {
        !matches!(
            self,
            Self::Unreachable { .. }
                | Self::Lost { .. }
                | Self::Store(_)
                | Self::BeingSent { .. }
                | Self::Turn { .. }
                | Self::Keep(_)
                | Self::NoSubscriber { .. }
                | Self::Start(_)
        )
    }
}
