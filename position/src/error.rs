//! What can be wrong with the settings, and with a connection.

use std::io;

/// Why no position can be asked for. What goes wrong later is in [`crate::LocatorStatus`].
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// The address cannot be one.
    #[error("'{0}' is no address of a gpsd: write HOST or HOST:PORT, as in '127.0.0.1:2947'")]
    Address(String),
    /// The age cannot be one.
    #[error("{0} is no age: say for how many seconds a position counts as known, as in '10'")]
    Age(f64),
    /// The system gives no thread.
    #[error("cannot start the thread that listens to gpsd: {0}")]
    Thread(io::Error),
}

/// Why a connection ended, or did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("cannot find '{address}': {source}")]
    Name { address: String, source: io::Error },
    #[error("no gpsd at '{address}': {source} (is it installed and running? 'systemctl status gpsd.socket')")]
    Refused { address: String, source: io::Error },
    #[error("gpsd has closed the connection")]
    Closed,
    #[error("the connection to gpsd broke off: {0}")]
    Broken(io::Error),
    #[error("gpsd does not answer any more")]
    Silent,
    #[error("what listens at '{0}' is no gpsd")]
    Stranger(String),
    #[error("gpsd {0} is too old: version 3 or newer is needed")]
    Old(String),
}
